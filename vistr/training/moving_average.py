"""An exponential moving average of the weights, kept beside those that are trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, ops

from vistr.layers.parameters import set_value
from vistr.runtime.graph import wait_for

PREFIX = "average."
_blend = ops.MultitypeFuncGraph("blend")


@_blend.register("Tensor", "Tensor", "Tensor")
def _blend_one(kept: Tensor, average: Parameter, variable: Parameter) -> Tensor:
    return ops.assign(average, average * kept + variable * (1 - kept))


class MovingAverage:
    """The average of `parameters` over the steps: `average = decay * average + (1 - decay) * weight`.

    The decay grows with the steps, `min(decay, (n - 1) / (n + 8))` at step n: the first step takes the weights as they
    are, and early ones are soon forgotten.
    """

    def __init__(self, parameters: Sequence[Parameter], decay: float) -> None:
        self.decay = decay
        self.variables = variables = ms.ParameterTuple(parameters)
        self.averages = averages = ms.ParameterTuple(
            Parameter(Tensor(np.zeros(p.shape, np.float32)), name=PREFIX + p.name, requires_grad=False)
            for p in parameters
        )
        each = ops.HyperMap()

        @ms.jit
        def blend(kept: Tensor) -> Any:
            return each(ops.partial(_blend, kept), averages, variables)

        self.run = blend

    def update(self, step: int) -> None:
        """Take in the weights as they are after `step`, counted from 1."""
        kept = min(self.decay, (step - 1) / (step + 8))
        wait_for(self.run(Tensor(np.float32(kept))))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network with its averaged weights, for as long as this lasts; then the very same as before."""
        before = [p.asnumpy().copy() for p in self.variables]
        for variable, average in zip(self.variables, self.averages, strict=True):
            set_value(variable, average.asnumpy())
        try:
            yield
        finally:
            for variable, value in zip(self.variables, before, strict=True):
                set_value(variable, value)

    def state(self) -> dict[str, np.ndarray]:
        """The averages by name."""
        return {p.name: p.asnumpy() for p in self.averages}

    def load_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what `state` gave; where there is none (the run had no average so far), the weights as they are."""
        for average, variable in zip(self.averages, self.variables, strict=True):
            set_value(average, arrays.get(average.name, variable.asnumpy()))
