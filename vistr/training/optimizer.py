"""AdamW (arXiv 1711.05101) with a slower backbone and global-norm clipping, as a few compiled updates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from vistr.errors import UserError
from vistr.layers.parameters import set_value
from vistr.runtime import backend
from vistr.runtime.graph import Graph
from vistr.runtime.graph_cache import GraphCache
from vistr.runtime.host_channel import LOST
from vistr.runtime.memory import release
from vistr.runtime.parallel import Ranks, pieces
from vistr.training.moving_average import MovingAverage
from vistr.training.settings import Optimizer

BETAS = (0.9, 0.999)
EPSILON = 1e-8
# Elements that are updated at a time, 32 MB of them.
GROUP_SIZE = 8_000_000


_flat = ops.MultitypeFuncGraph("flat")
_part = ops.MultitypeFuncGraph("part")
_square_sum = ops.MultitypeFuncGraph("square_sum")
_native_square_sum = ops.MultitypeFuncGraph("native_square_sum")
_half_of_squares = ops.L2Loss()
_update = ops.MultitypeFuncGraph("update")


@_flat.register("Tensor")
def _flat_of(gradient: Tensor) -> Tensor:
    return gradient.reshape(-1)


@_part.register("Tensor", "Number", "Tensor")
def _part_of(flat: Tensor, start: int, like: Parameter) -> Tensor:
    return flat[start : start + like.size].reshape(like.shape)


@_square_sum.register("Tensor")
def _square_sum_of(gradient: Tensor) -> Tensor:
    # A product with ones: MindSpore's reductions take six times as long on a CPU.
    rows = gradient.reshape(gradient.shape[0], -1)
    return ops.matmul(ops.ones((1, rows.shape[0]), rows.dtype), rows * rows).sum()


@_native_square_sum.register("Tensor")
def _native_square_sum_of(gradient: Tensor) -> Tensor:
    return _half_of_squares(gradient)


@_update.register("Function", "Tensor", "Tensor", "Tensor", "Number", "Bool", "Tensor", "Tensor", "Tensor", "Tensor")
def _update_one(
    adam: Any,
    scalars: Tensor,
    decays: Tensor,
    shrink: Tensor,
    group: int,
    has_decay: bool,
    variable: Parameter,
    first: Parameter,
    second: Parameter,
    gradient: Tensor,
) -> Tensor:
    gradient = gradient * shrink
    if has_decay:
        gradient = ops.depend(gradient, ops.assign(variable, variable * decays[group]))
    moved = adam(variable, first, second, scalars[3], scalars[4], scalars[group], *BETAS, scalars[5], gradient)
    return moved[0]


def rate_of(name: str) -> int:
    """Which learning rate a parameter has: 0 the backbone's, 2 a deformable encoder's offsets', 1 all others'."""
    if "backbone." in name:
        return 0
    return 2 if "sampling_offsets." in name else 1


class Group(nn.Cell):
    """Some of the parameters with their moments: what an update computes on the way is in memory for one group."""

    def __init__(
        self,
        parameters: Sequence[Parameter],
        weight_decay: float,
        graphs: GraphCache | None,
        no_decay: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.weight_decay = weight_decay
        self.variables = ms.ParameterTuple(parameters)
        self.rate_of = tuple(rate_of(p.name) for p in parameters)
        self.has_decay = tuple(not decay_free(p.name, no_decay) for p in parameters)
        self.first = ms.ParameterTuple(_zeros_like(p, "first") for p in parameters)
        self.second = ms.ParameterTuple(_zeros_like(p, "second") for p in parameters)
        self.adam = ops.Adam()
        self.each = ops.HyperMap()

        square_sum_of, factor = (_native_square_sum, 2) if backend.sums_natively() else (_square_sum, 1)

        def square_sum(*gradients: Tensor) -> Tensor:
            return (ops.addn(self.each(square_sum_of, gradients)) * factor).reshape(1)

        def update(scalars: Tensor, *gradients: Tensor) -> Tensor:
            return self(scalars, *gradients)

        starts = tuple(int(start) for start in np.cumsum([0, *(p.size for p in parameters[:-1])]))

        def joined(*gradients: Tensor) -> Tensor:
            return ops.concat(self.each(_flat, gradients), 0)

        def parted(flat: Tensor) -> Any:
            summed = self.each(ops.partial(_part, flat), starts, self.variables)
            return square_sum(*summed), summed

        weights = (*self.variables, *self.first, *self.second)
        self.run_square_sum = Graph("the gradients' norm", square_sum, weights, graphs, quiet=True)
        self.run_update = Graph("AdamW", update, weights, graphs, (weight_decay, no_decay), quiet=True)
        # For several ranks: one message takes a fifth of the time of many. It stands between two graphs, because one
        # that held it could not be compiled ahead by a process that is alone.
        self.run_joined = Graph("the gradients as one", joined, weights, graphs, quiet=True)
        self.run_parted = Graph("the summed gradients, with their norm,", parted, weights, graphs, quiet=True)

    def construct(self, scalars: Tensor, *gradients: Tensor) -> Tensor:
        """Decay and step, and say when that is done.

        `scalars` are the rates that `rate_of` counts, beta1^t, beta2^t, epsilon and the factor of the gradients.
        """
        decays = 1 - scalars[:3] * self.weight_decay
        update = ops.partial(_update, self.adam, scalars, decays, scalars[6])
        moved = self.each(update, self.rate_of, self.has_decay, self.variables, self.first, self.second, gradients)
        # Updates that nothing depends on are left out; a result that comes before them would be waited for in vain.
        return ops.depend(decays, moved) + 1


class AdamW:
    """Optimizer state and update of a fixed list of parameters, whose order the gradients must follow.

    Parameters of the backbone whose names have one of `no_decay` in them have no weight decay.

    MindSpore's AdamWeightDecay lacks the bias correction and takes ten times as long; its AdamW takes twice.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        settings: Optimizer,
        *,
        ema: float | None = None,
        graphs: GraphCache | None = None,
        ranks: Ranks | None = None,
        no_decay: Sequence[str] = (),
    ) -> None:
        self.average = None if ema is None else MovingAverage(parameters, ema)
        self.clip_norm = settings.clip_norm
        self.offsets_rate_factor = settings.offsets_rate_factor
        # A CPU's threads compute while this one waits for a value; a GPU computes anyhow.
        self.waits = ms.get_context("device_target") == "CPU"
        self.places = pieces([p.size for p in parameters], GROUP_SIZE)
        self.groups = [
            Group([parameters[i] for i in places], settings.weight_decay, graphs, no_decay) for places in self.places
        ]
        self.ranks = ranks or Ranks()
        self.all_reduce = self.ranks.all_reduce()
        self.compiled = False
        self.num_updates = 0

    def step(self, gradients: Sequence[Tensor], rates: tuple[float, float], scale: float = 1.0) -> float:
        """Update every parameter; returns the gradients' global norm before clipping.

        Those of all ranks are summed, and divided by `scale`, which they were computed with. Where the norm is not
        finite nothing is updated.
        """
        pairs, squares = self.summed(self.grouped(gradients))
        norm = math.sqrt(squares.sum(dtype=np.float64)) / scale
        if not math.isfinite(norm):
            return norm
        factor = min(1.0, self.clip_norm / (norm + 1e-6)) if self.clip_norm > 0 else 1.0
        self.num_updates += 1
        power1, power2 = (beta**self.num_updates for beta in BETAS)
        # The kernel adds epsilon before the second moment's correction, the paper after it.
        values = [*rates, rates[1] * self.offsets_rate_factor]
        values += [power1, power2, EPSILON * np.sqrt(1 - power2), factor / scale]
        scalars = Tensor(np.array(values, np.float32))
        for group, some in pairs:
            updated = group.run_update(scalars, *some)
            if self.waits:
                updated.asnumpy()
        if self.all_reduce is not None:
            release([gradient for _, some in pairs for gradient in some])
        if self.average is not None:
            self.average.update(self.num_updates)
        return norm

    def summed(
        self, pairs: Sequence[tuple[Group, Sequence[Tensor]]]
    ) -> tuple[list[tuple[Group, Sequence[Tensor]]], np.ndarray]:
        """The groups with the gradients' sums over the ranks, and the sum of squares of each, in one read."""
        of_all: list[tuple[Group, Sequence[Tensor]]] = []
        squares = []
        if self.all_reduce is None:
            return list(pairs), ops.concat([group.run_square_sum(*some) for group, some in pairs], 0).asnumpy()
        if not self.compiled:
            # On a CPU a collective waits for no more than 30 s, and one rank may compile that much longer than another.
            self.compile_sums(pairs)
            self.ranks.wait()
            self.compiled = True
        try:
            for group, some in pairs:
                square, total = group.run_parted(self.all_reduce(group.run_joined(*some)))
                squares.append(square)
                of_all.append((group, total))
            return of_all, ops.concat(squares, 0).asnumpy()
        except RuntimeError as error:
            raise UserError(LOST) from error

    def compile_sums(self, pairs: Sequence[tuple[Group, Sequence[Tensor]]]) -> None:
        """Compile the graphs before and after the collective."""
        for group, some in pairs:
            group.run_parted(group.run_joined(*some))

    def grouped(self, gradients: Sequence[Tensor]) -> list[tuple[Group, list[Tensor]]]:
        """Every group with the gradients of its parameters."""
        return [(group, [gradients[i] for i in places]) for group, places in zip(self.groups, self.places, strict=True)]

    def moments(self) -> list[Parameter]:
        """First and second moments of every parameter."""
        return [moment for group in self.groups for moment in (*group.first, *group.second)]

    def state(self) -> dict[str, np.ndarray]:
        """Everything needed to go on: moments and averages by parameter name, and the number of updates."""
        arrays: dict[str, Any] = {p.name: p.asnumpy() for p in self.moments()}
        if self.average is not None:
            arrays |= self.average.state()
        return {**arrays, "num_updates": np.array(self.num_updates)}

    def load_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what `state` gave."""
        for parameter in self.moments():
            set_value(parameter, arrays[parameter.name])
        if self.average is not None:
            self.average.load_state(arrays)
        self.num_updates = int(arrays["num_updates"])


def decay_free(name: str, no_decay: Sequence[str]) -> bool:
    """Whether a parameter is one of the backbone's whose names have one of `no_decay` in them."""
    return "backbone." in name and any(part in name for part in no_decay)


def _zeros_like(parameter: Parameter, name: str) -> Parameter:
    return Parameter(
        Tensor(np.zeros(parameter.shape, np.float32)), name=f"{name}.{parameter.name}", requires_grad=False
    )
