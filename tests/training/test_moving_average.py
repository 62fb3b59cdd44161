"""The moving average of the weights: what it is, and that it leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Parameter, Tensor

from tests.numeric import random
from vistr.layers.parameters import set_value
from vistr.training.moving_average import MovingAverage
from vistr.training.optimizer import AdamW
from vistr.training.settings import Optimizer

pytestmark = pytest.mark.usefixtures("cpu")
DECAY = 0.25


def variables() -> list[Parameter]:
    return [Parameter(Tensor(random(i, *shape)), name=f"p{i}") for i, shape in enumerate([(3, 2), (4,)])]


def history(steps: int) -> list[list[np.ndarray]]:
    return [[random(10 * s + i, *shape) for i, shape in enumerate([(3, 2), (4,)])] for s in range(steps)]


def test_it_follows_the_weights_with_a_decay_that_grows() -> None:
    parameters, values = variables(), history(5)
    average = MovingAverage(parameters, DECAY)
    expected = [np.zeros_like(value) for value in values[0]]
    for step, now in enumerate(values, 1):
        for parameter, value in zip(parameters, now, strict=True):
            set_value(parameter, value)
        average.update(step)
        kept = min(DECAY, (step - 1) / (step + 8))
        expected = [kept * before + (1 - kept) * value for before, value in zip(expected, now, strict=True)]
    assert kept == DECAY
    for name, value in zip(("average.p0", "average.p1"), expected, strict=True):
        np.testing.assert_allclose(average.state()[name], value, rtol=1e-6, atol=1e-6)


def test_the_first_step_takes_the_weights_as_they_are() -> None:
    parameters = variables()
    average = MovingAverage(parameters, 0.999)
    average.update(1)
    for parameter, value in zip(parameters, average.state().values(), strict=True):
        np.testing.assert_array_equal(parameter.asnumpy(), value)


def test_in_place_it_stands_in_for_the_weights_and_then_they_are_back() -> None:
    parameters = variables()
    average = MovingAverage(parameters, DECAY)
    average.load_state({f"average.{p.name}": random(7, *p.shape) for p in parameters})
    before = [p.asnumpy().copy() for p in parameters]
    seen = []

    def fail() -> None:
        with average.in_place():
            seen.extend(p.asnumpy().copy() for p in parameters)
            raise RuntimeError("a failed evaluation")

    with pytest.raises(RuntimeError, match="a failed evaluation"):
        fail()
    for value in seen:
        np.testing.assert_array_equal(value, random(7, *value.shape))
    for parameter, value in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(parameter.asnumpy(), value)


def test_the_optimizers_state_carries_it_and_does_without() -> None:
    gradients = [Tensor(random(20 + i, *p.shape)) for i, p in enumerate(variables())]

    def stepped(ema: float | None, state: dict[str, np.ndarray] | None = None) -> AdamW:
        optimizer = AdamW(variables(), Optimizer(weight_decay=0, clip_norm=1), ema=ema)
        if state is not None:
            optimizer.load_state(state)
        optimizer.step(gradients, (0.1, 0.1))
        return optimizer

    first = stepped(DECAY)
    second = stepped(DECAY, first.state())
    assert {name for name in first.state() if name.startswith("average.")} == {"average.p0", "average.p1"}
    # Both took the first step from the same weights, the second one with a memory of the first average.
    kept = min(DECAY, 1 / 10)
    for parameter in second.groups[0].variables:
        expected = kept * first.state()[f"average.{parameter.name}"] + (1 - kept) * parameter.asnumpy()
        np.testing.assert_allclose(second.state()[f"average.{parameter.name}"], expected, rtol=1e-6)
    late = stepped(DECAY, stepped(None).state())  # switched on in the middle: from the weights as they are
    start = variables()
    for ours, begun in zip(late.groups[0].variables, start, strict=True):
        expected = kept * begun.asnumpy() + (1 - kept) * ours.asnumpy()
        np.testing.assert_allclose(late.state()[f"average.{ours.name}"], expected, rtol=1e-6)
