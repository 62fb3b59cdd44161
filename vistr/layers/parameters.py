"""Drawing, fixing and overwriting parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, ops

# What initial weights are drawn from: a generator of their own, so that the caller's draw on undisturbed.
weights_rng = np.random.RandomState()
_zero = False


@contextmanager
def drawing(seed: int | None) -> Iterator[None]:
    """Draw the parameters made in the block by a seed.

    None: they are zero. Where all are overwritten, drawing them would take most of the time of building the network.
    """
    global _zero
    if seed is not None:
        weights_rng.seed(seed)
    _zero = seed is None
    try:
        yield
    finally:
        _zero = False


def uniform(shape: tuple[int, ...], bound: float, name: str) -> Parameter:
    """A trainable parameter drawn from U(-bound, bound)."""
    drawn = np.zeros(shape) if _zero else weights_rng.uniform(-bound, bound, shape)
    return Parameter(Tensor(drawn.astype(np.float32)), name=name)


def normal(shape: tuple[int, ...], deviation: float, name: str) -> Parameter:
    """A trainable parameter drawn from N(0, deviation^2)."""
    drawn = np.zeros(shape) if _zero else weights_rng.standard_normal(shape) * deviation
    return Parameter(Tensor(drawn.astype(np.float32)), name=name)


def fixed(value: np.ndarray, name: str) -> Parameter:
    """A parameter that training leaves alone."""
    return Parameter(Tensor(value.astype(np.float32), ms.float32), name=name, requires_grad=False)


def set_value(parameter: Parameter, value: np.ndarray) -> None:
    """Overwrite a parameter's value where it lies.

    `Parameter.set_data` puts another tensor in its place, which functions compiled before never get to see.
    """
    ops.assign(parameter, Tensor(np.ascontiguousarray(value)))
