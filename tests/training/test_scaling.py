"""The loss scale of half precision: it grows, shrinks, stops shrinking, and survives a resume."""

from __future__ import annotations

import json
from dataclasses import asdict

from vistr.training import scaling
from vistr.training.scaling import LossScale
from vistr.weights.checkpoint import TrainingState


def test_it_doubles_after_enough_good_steps_and_halves_at_an_overflow() -> None:
    state = TrainingState()
    scale = LossScale(state, 65536)
    assert scale.value == 65536
    for _ in range(scaling.STEPS_TO_GROW - 1):
        scale.passed()
    assert scale.value == 65536
    scale.passed()
    assert (scale.value, state.steps_at_scale) == (131072, 0)
    scale.passed()
    scale.overflowed()
    assert (scale.value, state.steps_at_scale) == (65536, 0)


def test_it_has_bounds() -> None:
    scale = LossScale(TrainingState(loss_scale=scaling.LARGEST_SCALE), 65536)
    for _ in range(scaling.STEPS_TO_GROW):
        scale.passed()
    assert scale.value == scaling.LARGEST_SCALE
    while scale.can_shrink:
        scale.overflowed()
    assert scale.value == scaling.SMALLEST_SCALE


def test_it_goes_on_from_a_checkpoint() -> None:
    state = TrainingState()
    scale = LossScale(state, 65536)
    scale.overflowed()
    scale.passed()
    saved = TrainingState(**json.loads(json.dumps(asdict(state))))
    assert LossScale(saved, 65536).value == 32768
    assert saved.steps_at_scale == 1


def test_float32_has_none() -> None:
    scale = LossScale(TrainingState(loss_scale=32768.0), None)
    scale.passed()
    assert scale.value == 1
    assert not scale.can_shrink
