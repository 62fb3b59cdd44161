"""The training step: its gradients, what masks it needs, and batches that share an optimizer step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from tests import tiny
from vistr.config import Device
from vistr.data.clips import Batch
from vistr.layers.dropout import Noise, noise_pool
from vistr.losses.criterion import named_losses
from vistr.losses.matching import Match
from vistr.losses.supervision import Supervision, group_normalisers, supervise
from vistr.models.vistr import VisTR, image_rows
from vistr.runtime.backend import GPU_LIMITS
from vistr.training import step as module
from vistr.training.parts import step_noise
from vistr.training.step import StepResult, TrainingStep, matching_errors

CLIP, OTHER = tiny.clip(0, 2), tiny.clip(2, 2, pad_width=32)
SLOW_FIXTURES = ("compiled",)


def arrays(gradients: Sequence[Tensor]) -> list[np.ndarray]:
    return [g.asnumpy() for g in gradients]


def assert_same(
    ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], step: TrainingStep, tolerance: float = 1e-4
) -> None:
    """Gradients agree within a share of the largest value of their parameter, or of all where that is tiny.

    Tiny is what float32 rounding makes of zero: 1e-7 of the largest gradient.
    """
    largest = max(float(abs(g).max()) for g in theirs)
    for parameter, a, b in zip(step.parameters, ours, theirs, strict=True):
        scale = max(float(abs(b).max()), 1e-3 * largest)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=parameter.name)


@pytest.fixture(scope="module")
def network() -> VisTR:
    return tiny.model()


@pytest.fixture(scope="module")
def compiled(network: VisTR) -> StepResult:
    """One clip through the compiled step."""
    return tiny.training_step(network)(CLIP, None)


@pytest.fixture(scope="module")
def step(network: VisTR) -> TrainingStep:
    """The step, not compiled."""
    plain: TrainingStep = tiny.eager(tiny.training_step(network))
    return plain


def test_compiled_and_plain_gradients_agree(compiled: StepResult, step: TrainingStep) -> None:
    # MindSpore mixes up the gradients of a cell with its own `bprop` that a compiled function calls twice.
    plain = step(CLIP, None)
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-5)
    assert_same(arrays(compiled.gradients), arrays(plain.gradients), step)
    norms = [float(np.linalg.norm(g)) for g in arrays(plain.gradients)]
    assert min(norms) > 0


@pytest.mark.slow
def test_compiled_gradients_that_recompute_agree_with_plain_ones_with_dropout(step: TrainingStep) -> None:
    noise = Noise(noise_pool(0.1, 0, 1))
    recomputing = tiny.training_step(tiny.model(device=Device(recompute=True)))
    compiled, plain = recomputing(CLIP, noise), step(CLIP, noise)
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-5)
    assert_same(arrays(compiled.gradients), arrays(plain.gradients), step)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["tiny", "tiny_swin"])
def test_the_network_of_a_gpu_computes_the_same(backbone: str) -> None:
    # All of it but the layout of its convolutions, which a CPU has no kernels for.
    noise = step_noise(tiny.config(name=backbone), tiny.NUM_FRAMES, 1)
    networks = (tiny.model("gpu", name=backbone), tiny.model(name=backbone))
    ours, theirs = (tiny.eager(tiny.training_step(network)) for network in networks)
    assert ours.model.limits == GPU_LIMITS
    found, expected = ours(CLIP, noise), theirs(CLIP, noise)
    assert found.losses == pytest.approx(expected.losses, rel=1e-5)
    assert_same(arrays(found.gradients), arrays(expected.gradients), ours)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["tiny", "tiny_swin"])
def test_frames_a_few_at_a_time_change_no_number(monkeypatch: pytest.MonkeyPatch, backbone: str) -> None:
    # Three frames two at a time: the second group is filled up, which must count nothing.
    network = tiny.eager(tiny.model(num_frames=3, name=backbone))
    step, clip = tiny.eager(tiny.training_step(network)), tiny.clip(4, 2, num_frames=3)
    noise = step_noise(tiny.config(name=backbone, dropout=0.0), 3, 1)
    whole, outputs = step(clip, noise), network(clip.frames, clip.padding)
    monkeypatch.setattr(network, "limits", replace(network.limits, backbone_pixels=2 * tiny.HEIGHT * tiny.WIDTH))
    parts, again = step(clip, noise), network(clip.frames, clip.padding)
    assert parts.losses == pytest.approx(whole.losses, rel=1e-5)
    assert_same(arrays(parts.gradients), arrays(whole.gradients), step)
    np.testing.assert_allclose(again.masks.asnumpy(), outputs.masks.asnumpy(), atol=1e-4)


def test_masks_of_all_slots_give_the_same_losses_and_gradients(
    compiled: StepResult, step: TrainingStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supervise_all(*inputs: Any, **settings: Any) -> tuple[Supervision, list[Match]]:
        few, matches = supervise(*inputs, **settings)
        slots, num_masks = few.query_rows[:, 0], tiny.NUM_INSTANCES
        masks = np.zeros((num_masks, *few.masks.shape[1:]), np.uint8)
        weights = np.zeros((num_masks, tiny.NUM_FRAMES), np.float32)
        masks[slots], weights[slots] = few.masks, few.mask_weights
        rows = image_rows(np.arange(num_masks), tiny.NUM_FRAMES, num_masks)
        return Supervision(*few[:4], *rows, masks, weights), matches

    monkeypatch.setattr(module, "supervise", supervise_all)
    full = step(CLIP, None)
    assert full.losses == pytest.approx(compiled.losses, rel=1e-5)
    assert_same(arrays(full.gradients), arrays(compiled.gradients), step)


def test_batches_that_share_a_step_equal_one_large_batch(compiled: StepResult, step: TrainingStep) -> None:
    together = step(tiny.join([CLIP, OTHER]), None)
    group = [CLIP, OTHER]
    normalisers = group_normalisers(group, tiny.NUM_INSTANCES, 0.1)
    apart = [step(batch, None, normalisers) for batch in group]
    for name in ("loss", "class", "class_0", "box", "box_0", "giou", "giou_0", "mask", "dice"):
        total = sum(result.losses[name] for result in apart)
        assert total == pytest.approx(together.losses[name], rel=1e-5), name
    summed = [a + b for a, b in zip(*(arrays(result.gradients) for result in apart), strict=True)]
    assert_same(summed, arrays(together.gradients), step)


def test_one_batch_alone_needs_no_class_weights_beforehand() -> None:
    assert group_normalisers([CLIP], tiny.NUM_INSTANCES, 0.1) == (4, None)
    empty = replace(CLIP, targets=[tiny.no_targets(CLIP.targets[0])])
    assert group_normalisers([empty], tiny.NUM_INSTANCES, 0.1) == (1, None)


def test_of_more_objects_than_slots_those_seen_longest_are_counted() -> None:
    crowded = tiny.clip(0, 4)
    num_boxes, weight = group_normalisers([crowded, CLIP], tiny.NUM_INSTANCES, 0.1)
    assert num_boxes == 4 * 2 + 2 * 2
    # The first object of each clip is gone in its last frame.
    assert weight == pytest.approx(6 + (3 + 0.1 * 3))


def test_without_auxiliary_losses_only_the_last_layer_counts(network: VisTR, compiled: StepResult) -> None:
    step = tiny.eager(tiny.training_step(network, aux_losses=False))
    losses = step(CLIP, None).losses
    parts = ("class", "box", "giou", "mask", "dice")
    assert {name: losses[name] for name in parts} == pytest.approx({n: compiled.losses[n] for n in parts}, rel=1e-5)
    assert not any("_0" in name for name in losses)
    weighted = sum(weight * losses[name] for name, weight in zip(parts, (1, 5, 2, 1, 1), strict=True))
    assert losses["loss"] == pytest.approx(weighted, rel=1e-5)


@pytest.mark.slow
def test_noise_changes_the_loss_and_the_same_noise_gives_it_again(step: TrainingStep, compiled: StepResult) -> None:
    one, same, other = (step(CLIP, Noise(noise_pool(0.1, 0, number))).losses["loss"] for number in (1, 1, 2))
    assert one == same
    assert len({one, other, compiled.losses["loss"]}) == 3


def test_losses_have_names_by_layer() -> None:
    by_layer = np.arange(6).reshape(2, 3)
    assert named_losses(np.append(9.0, by_layer), np.array([0, 7, 8])) == {
        "loss": 9, "class_0": 0, "box_0": 1, "giou_0": 2, "class": 3, "box": 4, "giou": 5, "mask": 7, "dice": 8,
    }  # fmt: skip


def test_errors_of_classes_and_of_counts() -> None:
    logits = np.zeros((1, 6, 6), np.float32)
    logits[0, range(6), [2, 3, 5, 5, 1, 5]] = 1
    classes = np.array([[2, 2, 2, 5, 5, 5]])
    # Of three matched queries one has the right class; three queries say an object, four boxes are true.
    assert matching_errors(logits, classes, CLIP.targets) == pytest.approx(
        {"class_error": 200 / 3, "cardinality_error": 1}
    )


def test_a_scale_is_in_the_gradients_and_not_in_the_losses(step: TrainingStep, compiled: StepResult) -> None:
    scaled = step(CLIP, None, None, 1024.0)
    assert scaled.losses == pytest.approx(compiled.losses, rel=1e-5)
    assert_same([g / 1024 for g in arrays(scaled.gradients)], arrays(compiled.gradients), step)


@pytest.mark.slow
def test_half_precision_follows_float32_and_accumulates(compiled: StepResult, step: TrainingStep) -> None:
    half = tiny.eager(tiny.training_step(tiny.eager(tiny.model(device=Device(precision="fp16")))))
    images, context = half.model.prepare(CLIP.frames, CLIP.padding)
    found = half.model.detect(images, context, None)
    kinds = [x.dtype for x in (images, found.states, found.logits, found.boxes)]
    assert kinds == [ms.float16, ms.float16, ms.float32, ms.float32]
    result = half(CLIP, None, None, 1024.0)
    parts = ("loss", "class", "box", "giou", "mask", "dice")
    assert {n: result.losses[n] for n in parts} == pytest.approx({n: compiled.losses[n] for n in parts}, rel=5e-3)
    assert all(g.dtype == ms.float32 for g in result.gradients)
    ours, theirs = (np.concatenate([g.ravel() for g in arrays(r.gradients)]) for r in (result, compiled))
    assert np.dot(ours, theirs) / (np.linalg.norm(ours) * np.linalg.norm(theirs)) > 0.999
    assert np.linalg.norm(ours) / 1024 == pytest.approx(np.linalg.norm(theirs), rel=1e-2)
    group = [CLIP, OTHER]
    normalisers = group_normalisers(group, tiny.NUM_INSTANCES, 0.1)
    apart = [half(batch, None, normalisers, 1024.0) for batch in group]
    together = step(tiny.join(group), None)
    assert sum(r.losses["loss"] for r in apart) == pytest.approx(together.losses["loss"], rel=5e-3)


def test_a_batch_without_objects_has_only_class_losses(step: TrainingStep) -> None:
    empty = Batch(CLIP.frames, CLIP.padding, [tiny.no_targets(CLIP.targets[0])])
    losses = step(empty, None).losses
    assert {losses[name] for name in ("box", "giou", "mask", "dice")} == {0}
    assert losses["loss"] == pytest.approx(losses["class"] + losses["class_0"], rel=1e-6)
