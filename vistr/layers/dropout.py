"""Dropout whose random numbers are an input, so that a resumed run repeats them exactly."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import constexpr

POOL_SIZE = 1 << 20


def noise_pool(rate: float, seed: int, step: int) -> np.ndarray:
    """Dropout factors of one step, 0 or 1 / (1 - rate), twice in a row so that any start can be read from:
    float32 `[2 * POOL_SIZE]`, a function of (seed, step) alone.

    MindSpore's own dropout keeps a hidden generator that no checkpoint can carry.
    """
    uniform = np.random.Generator(np.random.Philox(key=[seed, step])).random(POOL_SIZE, np.float32)
    pool = np.where(uniform < rate, 0, 1 / (1 - rate)).astype(np.float32)
    return np.concatenate([pool, pool])


def step_noise(rate: float, seed: int, step: int) -> np.ndarray | None:
    """The pool of one step; None where nothing is dropped."""
    return noise_pool(rate, seed, step) if rate > 0 else None


@constexpr
def place(site: int, part: int) -> int:
    """The offset into the pool for a dropout layer's number (`site`) and its chunk `part`; odd multipliers make
    collisions unlikely."""
    return (site * 611_953 + part * 39_119) % POOL_SIZE


@constexpr
def num_pools(size: int) -> int:
    """How many copies of a doubled pool, end to end, hold `size` factors from any offset."""
    return -(-(POOL_SIZE + size) // (2 * POOL_SIZE))


def factors(noise: Tensor, site: int, part: int, size: int, after: Tensor) -> Tensor:
    """`size` dropout factors of the layer `site`, chunk `part`, from a step's pool.

    They are made after `after`: depending on nothing else, those of all layers would lie in memory from the start.
    """
    if num_pools(size) > 1:
        # One for all inputs of a size.
        noise = ops.tile(noise, (num_pools(size),))
    return ops.slice(ops.depend(noise, after), (place(site, part),), (size,))


class Dropout(nn.Cell):
    """Dropout layer number `site` of the network: multiplies by its factors of the step."""

    def __init__(self, site: int) -> None:
        super().__init__()
        self.site = site

    def construct(self, x: Tensor, noise: Tensor | None) -> Tensor:
        if noise is None:
            return x
        return x * factors(noise, self.site, 0, x.size, x).reshape(x.shape).astype(x.dtype)
