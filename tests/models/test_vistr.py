"""The whole network on a tiny scale: shapes, independence of clips, every size and variant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

from tests import tiny
from vistr.data.clips import Batch
from vistr.models.build import build_model
from vistr.models.vistr import VisTR, image_rows
from vistr.weights import load_torch_state_dict

SLOW_FIXTURES = ("together",)  # the compiled network's


def outputs(network: VisTR, batch: Batch) -> dict[str, np.ndarray]:
    return {name: tensor.asnumpy().copy() for name, tensor in network(batch.frames, batch.padding)._asdict().items()}


@pytest.fixture(scope="module")
def network() -> VisTR:
    return tiny.model()


@pytest.fixture(scope="module")
def clips() -> list[Batch]:
    """One that fills its frames, and one with padding."""
    return [tiny.clip(0, 2), tiny.clip(2, 1, pad_width=32)]


@pytest.fixture(scope="module")
def together(network: VisTR, clips: list[Batch]) -> dict[str, np.ndarray]:
    """The compiled network's outputs for both clips at once."""
    return outputs(network, tiny.join(clips))


@pytest.fixture(scope="module")
def plain() -> VisTR:
    """The same network, not compiled."""
    network: VisTR = tiny.eager(tiny.model())
    return network


def test_outputs_have_their_shapes(together: dict[str, np.ndarray]) -> None:
    queries = tiny.NUM_FRAMES * tiny.NUM_INSTANCES
    assert {name: value.shape for name, value in together.items()} == {
        "logits": (2, queries, 6),
        "boxes": (2, queries, 4),
        "masks": (2, queries, 8, 16),
        "aux_logits": (1, 2, queries, 6),
        "aux_boxes": (1, 2, queries, 4),
    }
    assert all(np.isfinite(value).all() for value in together.values())
    assert together["boxes"].min() > 0
    assert together["boxes"].max() < 1


def test_a_clip_does_not_depend_on_its_neighbours(
    together: dict[str, np.ndarray], plain: VisTR, clips: list[Batch]
) -> None:
    for i, clip in enumerate(clips):
        alone = outputs(plain, clip)
        for name, value in together.items():
            mine = value[:, i : i + 1] if name.startswith("aux") else value[i : i + 1]
            np.testing.assert_allclose(mine, alone[name], atol=1e-5, err_msg=name)


def test_what_padding_holds_does_not_reach_the_transformer(plain: VisTR) -> None:
    # Attention is masked there; only convolutions at the border see it. So padding a whole stride away
    # from the picture may hold anything as far as the encoder is concerned.
    batch = tiny.clip(2, 1, pad_width=32)
    _, context = plain.prepare(batch.frames, batch.padding)
    maps = np.random.default_rng(0).standard_normal((1, tiny.NUM_FRAMES, 1, 2, 96)).astype(np.float32)
    key_padding_mask = context.key_padding_mask.asnumpy() < 0
    assert key_padding_mask.tolist() == [[False, True] * tiny.NUM_FRAMES]
    query = plain.detector.query_embed
    states = []
    for filling in (0, 100):
        filled = np.where(key_padding_mask.reshape(*maps.shape[:4], 1), np.float32(filling), maps)
        found, _ = plain.detector.transformer(Tensor(filled), query, context.position, context.key_padding_mask, None)
        states.append(found.asnumpy())
    np.testing.assert_allclose(states[0], states[1], atol=1e-5)


def test_masks_of_a_few_sequences_a_call_are_the_same(
    plain: VisTR, clips: list[Batch], together: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two at a time of three: the last call is filled up with a sequence whose result is dropped.
    monkeypatch.setattr(plain, "limits", replace(plain.limits, mask_pixels=2 * tiny.NUM_FRAMES * 8 * 16))
    np.testing.assert_allclose(outputs(plain, clips[0])["masks"], together["masks"][:1], atol=1e-5)


def test_weights_loaded_after_a_call_count_in_the_next(
    network: VisTR, clips: list[Batch], together: dict[str, np.ndarray]
) -> None:
    # A compiled function never sees a tensor that takes a parameter's place.
    weights = tiny.state_dict(network)
    bias = "vistr.class_embed.bias"
    load_torch_state_dict(network, weights | {bias: weights[bias] + 1})
    after = outputs(network, tiny.join(clips))["logits"]
    load_torch_state_dict(network, weights)
    np.testing.assert_allclose(after, together["logits"] + 1, atol=1e-5)


VARIANTS: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "one frame, one instance": ({"num_frames": 1, "num_instances": 1}, (32, 64)),
    "three frames, two instances": ({"num_frames": 3, "num_instances": 2}, (32, 64)),
    "more heads, other width, frames of any size": ({"hidden_dim": 192, "num_heads": 6}, (37, 50)),
}


@pytest.mark.parametrize(("changes", "size"), VARIANTS.values(), ids=VARIANTS)
def test_variants(changes: dict[str, Any], size: tuple[int, int]) -> None:
    settings = tiny.config(**changes)
    network = tiny.eager(tiny.model(**changes))
    num_frames, queries = settings.num_frames, settings.num_frames * settings.num_instances
    frames = np.random.default_rng(0).standard_normal((1, num_frames, 3, *size)).astype(np.float32)
    found = outputs(network, Batch(frames, np.zeros((1, num_frames, *size), bool), []))
    assert found["logits"].shape == (1, queries, 6)
    assert found["masks"].shape == (1, queries, -(-size[0] // 4), -(-size[1] // 4))
    assert all(np.isfinite(value).all() for value in found.values())


@pytest.mark.slow
def test_pre_norm_and_dilation_compile() -> None:
    network = tiny.model(pre_norm=True, dilation=True)
    batch = tiny.clip(0, 1)
    compiled, plain = outputs(network, batch), outputs(tiny.eager(network), batch)
    for name, value in compiled.items():
        np.testing.assert_allclose(value, plain[name], atol=1e-4, err_msg=name)


def test_sequences_find_their_queries_and_frames() -> None:
    queries, frames = image_rows(np.array([0, 4]), num_frames=2, num_instances=3)
    assert queries.tolist() == [[0, 3], [7, 10]]
    assert frames.tolist() == [[0, 1], [2, 3]]


def test_a_seed_draws_the_same_weights() -> None:
    one, same, other = (tiny.build(seed=seed).detector.query_embed.asnumpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_a_network_whose_weights_are_overwritten_is_not_drawn_and_the_next_one_is() -> None:
    undrawn = build_model(tiny.config(), tiny.NUM_CATEGORIES, drawn=False)
    drawn = tiny.build()
    names = [name for name, p in drawn.parameters_and_names() if p.asnumpy().std() > 0]
    zero = dict(undrawn.parameters_and_names())
    assert len(names) > 20
    assert not [name for name in names if zero[name].asnumpy().any()]


def test_frames_prepared_as_clips_of_their_own_are_the_same_images() -> None:
    batch = tiny.join([tiny.clip(0, 2), tiny.clip(2, 1, pad_width=32)])
    images, context = tiny.build().prepare(batch.frames, batch.padding)
    frames, padding = (some.reshape(-1, 1, *some.shape[2:]) for some in (batch.frames, batch.padding))
    one_by_one, contexts = tiny.build().prepare(frames, padding)
    np.testing.assert_array_equal(one_by_one.asnumpy(), images.asnumpy())
    np.testing.assert_array_equal(contexts.sizes.asnumpy(), context.sizes.asnumpy())


def test_building_a_network_leaves_the_callers_generators_alone() -> None:
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    first, second = tiny.build(), tiny.build()
    assert np.random.random() == expected
    for one, other in zip(first.get_parameters(), second.get_parameters(), strict=True):
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())
