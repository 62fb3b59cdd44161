"""Dropout whose random numbers are an input, so that a resumed run repeats them exactly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import constexpr

from vistr.runtime import backend

POOL_SIZE = 1 << 20


class Noise(NamedTuple):
    """The random numbers of one training step; None where nothing is dropped."""

    pool: np.ndarray | None = None
    """Dropout factors, as `noise_pool` makes them."""
    paths: np.ndarray | None = None
    """Factors of the backbone's branches, as `path_factors` makes them."""


def noise_pool(rate: float, seed: int, step: int) -> np.ndarray:
    """Dropout factors of one step, 0 or 1 / (1 - rate), twice in a row so that any start can be read from:
    float32 `[2 * POOL_SIZE]`, a function of (seed, step) alone.

    MindSpore's own dropout keeps a hidden generator that no checkpoint can carry.
    """
    uniform = np.random.Generator(np.random.Philox(key=[seed, step])).random(POOL_SIZE, np.float32)
    pool = np.where(uniform < rate, 0, 1 / (1 - rate)).astype(np.float32)
    return np.concatenate([pool, pool])


def path_factors(rates: np.ndarray, num_images: int, seed: int, step: int) -> np.ndarray:
    """Factors of the residual branches that are left out with the probabilities `rates [branches]` (stochastic depth,
    arXiv 1603.09382), 0 or 1 / (1 - rate), for every image: float32 `[num_images, branches]`, a function of the
    arguments alone."""
    # Of the same key as the pool, but far behind its numbers.
    generator = np.random.Generator(np.random.Philox(key=[seed, step], counter=[0, 0, 0, 1]))
    kept = generator.random((num_images, len(rates))) >= rates
    return (kept / (1 - rates)).astype(np.float32)


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


class DropPath(nn.Cell):
    """Rows `[n * L, C]` of n images, each image's times its factor of `[n]`, which gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.broadcasts, self.matmul = backend.sums_natively(), ops.BatchMatMul()

    def construct(self, rows: Tensor, factors: Tensor) -> Tensor:
        return self.scaled(rows, factors)

    def bprop(self, rows: Tensor, factors: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
        return self.scaled(dout, factors), ops.zeros_like(factors)

    def scaled(self, rows: Tensor, factors: Tensor) -> Tensor:
        """A product of matrices where broadcasting is slow."""
        factors = factors.astype(rows.dtype).reshape(-1, 1, 1)
        by_image = rows.reshape(factors.shape[0], 1, -1)
        out = by_image * factors if self.broadcasts else self.matmul(factors, by_image)
        return out.reshape(rows.shape)
