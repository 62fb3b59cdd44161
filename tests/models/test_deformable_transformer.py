"""The network with the deformable encoder: its layers, clips, padding and compiled graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

from tests import tiny
from tests.models.test_vistr import outputs
from tests.padded import SIZES, Size, distance_from_each_alone, too_far
from vistr.benchmark.flops import count_gflop
from vistr.config import Device
from vistr.models.settings import Deformable

SPATIAL: dict[str, Any] = {"kind": Deformable, "num_points": 3}
TEMPORAL: dict[str, Any] = {**SPATIAL, "temporal_points": 2, "temporal_window": 1}


def test_frames_are_read_apart_unless_there_are_temporal_points() -> None:
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((1, 3, 2, 3, 96)).astype(np.float32)
    position, mask = Tensor(np.zeros((1, 18, 96), np.float32)), Tensor(np.zeros((1, 18), np.float32))
    for changes, read in ((SPATIAL, [True, False, False]), (TEMPORAL, [True, True, False])):
        transformer = tiny.eager(tiny.model(**changes)).detector.transformer
        before = transformer.encode(Tensor(maps), position, mask, None).asnumpy()
        other = maps.copy()
        other[:, 0] += 1
        after = transformer.encode(Tensor(other), position, mask, None).asnumpy()
        moved = np.abs(after - before).reshape(3, -1).max(1) > 1e-4
        # One encoder layer: what changed in the first frame reaches those that read it.
        assert moved.tolist() == read


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "sizes"), [(SPATIAL, SIZES[1:]), (TEMPORAL, SIZES)], ids=["spatial", "temporal"])
def test_clips_of_several_sizes_in_one_batch_are_as_each_alone(changes: dict[str, Any], sizes: list[Size]) -> None:
    assert too_far(distance_from_each_alone(changes, sizes), 1e-3) == {}


@pytest.mark.slow
def test_recomputing_and_compiling_give_the_same_gradients() -> None:
    found = []
    for recompute in (False, True):
        device = Device(target="cpu", recompute=recompute)
        step = tiny.training_step(tiny.model(device=device, **TEMPORAL, num_encoder_layers=2, num_decoder_layers=1))
        if not recompute:
            step = tiny.eager(step)
        found.append(step(tiny.clip(0, 2), None).gradients)
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), atol=1e-4)


def test_its_attention_is_linear_in_the_tokens_and_the_points() -> None:
    config = tiny.config(**SPATIAL, num_encoder_layers=6)
    transformer = config.transformer
    assert isinstance(transformer, Deformable)
    one = transformer.encoder_attention_flop(1)
    assert transformer.encoder_attention_flop(1000) == 1000 * one
    # value and output projections; two offsets and a weight for 2 heads of 3 points; four corners of 96 channels each.
    assert one == 2 * (2 * 96 * 96 + 96 * 2 * 3 * 3 + 4 * 3 * 96)
    assert tiny.config(**TEMPORAL).transformer.encoder_attention_flop(1) == one + 2 * (96 * 2 * 3 + 4 * 96) * 2 * 2
    dense = tiny.config(num_encoder_layers=6)
    assert count_gflop(config, 6, 300, 540)["transformer"] < 0.6 * count_gflop(dense, 6, 300, 540)["transformer"]


@pytest.mark.slow
def test_half_precision_runs_with_places_and_softmax_in_single_precision() -> None:
    exact, half = (
        outputs(tiny.eager(tiny.model(device=Device(target="cpu", precision=precision), **TEMPORAL)), tiny.clip(0, 2))
        for precision in ("fp32", "fp16")
    )
    assert np.abs(exact["logits"] - half["logits"]).max() < 0.05
