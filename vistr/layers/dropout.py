"""Dropout whose random numbers are an input, so that a resumed run repeats them exactly."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops

POOL_SIZE = 1 << 20


def noise_pool(rate: float, seed: int, step: int) -> np.ndarray:
    """Dropout factors of one step, 0 or 1 / (1 - rate), twice in a row so that any start can be read from:
    float32 `[2 * POOL_SIZE]`, a function of (seed, step) alone.

    MindSpore's own dropout keeps a hidden generator that no checkpoint can carry.
    """
    uniform = np.random.Generator(np.random.Philox(key=[seed, step])).random(POOL_SIZE, np.float32)
    pool = np.where(uniform < rate, 0, 1 / (1 - rate)).astype(np.float32)
    return np.concatenate([pool, pool])


class Dropout(nn.Cell):
    """Multiply by factors from the step's pool, read from a place of its own; larger inputs read it repeatedly."""

    def __init__(self, site: int) -> None:
        super().__init__()
        # An odd stride spreads the sites over the pool without two of them coinciding.
        self.start = (site * 611_953) % POOL_SIZE

    def construct(self, x: Tensor, noise: Tensor | None) -> Tensor:
        if noise is None:
            return x
        size = x.size
        factors = noise[self.start : self.start + min(size, POOL_SIZE)]
        if size > POOL_SIZE:
            factors = ops.tile(factors, ((size + POOL_SIZE - 1) // POOL_SIZE,))[:size]
        return x * factors.reshape(x.shape).astype(x.dtype)
