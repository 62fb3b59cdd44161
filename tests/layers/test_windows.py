"""Attention within windows against the published formulation in NumPy: padded, rolled, cut into windows, masked."""

from __future__ import annotations

import math
from itertools import product

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from tests.numeric import assert_like, random
from vistr.layers.parameters import set_value
from vistr.layers.window_tables import window_tables
from vistr.layers.windows import WindowAttention
from vistr.runtime import backend

pytestmark = pytest.mark.usefixtures("cpu")

HEADS, WIDTH, WINDOW = 2, 8, 3
CHANNELS = HEADS * WIDTH


def layer(shift: int) -> WindowAttention:
    """One with weights that leave nothing at zero."""
    built = WindowAttention(CHANNELS, HEADS, WINDOW, shift)
    for i, p in enumerate(built.get_parameters()):
        set_value(p, random(i, *p.shape) * (0.3 if p.ndim == 2 else 1))
    return built


def published(of: WindowAttention, x: np.ndarray, shift: int) -> np.ndarray:
    """Of one picture's map `[h, w, C]`, window by window."""
    h, w, _ = x.shape
    down, across = (-(-side // WINDOW) * WINDOW for side in (h, w))
    weights = {name: p.asnumpy().astype(np.float64) for name, p in of.parameters_and_names()}
    padded = np.zeros((down, across, CHANNELS), x.dtype)
    padded[:h, :w] = x
    rolled = np.roll(padded, (-shift, -shift), (0, 1))
    region = np.zeros((down, across), int)
    for i, (ys, xs) in enumerate(product(*[(slice(-WINDOW), slice(-WINDOW, -shift or None), slice(-shift, None))] * 2)):
        if shift:
            region[ys, xs] = i
    out = np.zeros_like(padded)
    places = np.stack(np.indices((WINDOW, WINDOW)), -1).reshape(-1, 2)
    apart = places[:, None] - places + WINDOW - 1
    bias = weights["relative_position_bias_table"][apart[..., 0] * (2 * WINDOW - 1) + apart[..., 1]].transpose(2, 0, 1)
    for y, x_ in product(range(0, down, WINDOW), range(0, across, WINDOW)):
        rows = rolled[y : y + WINDOW, x_ : x_ + WINDOW].reshape(-1, CHANNELS)
        regions = region[y : y + WINDOW, x_ : x_ + WINDOW].reshape(-1)
        qkv = rows @ weights["qkv.weight"].T + weights["qkv.bias"]
        q, k, v = qkv.reshape(-1, 3, HEADS, WIDTH).transpose(1, 2, 0, 3)
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(WIDTH) + bias
        scores = scores - 100.0 * (regions[:, None] != regions)
        share = np.exp(scores - scores.max(-1, keepdims=True))
        seen = (share / share.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(-1, CHANNELS)
        out[y : y + WINDOW, x_ : x_ + WINDOW] = (seen @ weights["proj.weight"].T + weights["proj.bias"]).reshape(
            WINDOW, WINDOW, -1
        )
    return np.roll(out, (shift, shift), (0, 1))[:h, :w]


@pytest.mark.parametrize("kernels", ["gather", "gpu"])
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("scores_a_chunk", [40_000_000, 400])
def test_windows_of_pictures_of_several_sizes(kernels: backend.Backend, shift: int, scores_a_chunk: int) -> None:
    ms.runtime.launch_blocking()
    backend.use(kernels)
    of, (height, width) = layer(shift), (7, 8)
    of.attend.scores_a_chunk = scores_a_chunk
    # As large as the array, smaller than a window, a whole number of windows, one more.
    sizes = [(7, 8), (2, 1), (6, 3), (4, 7)]
    tables = window_tables(Tensor(np.array(sizes, np.float32)), height, width, WINDOW, shift, HEADS)
    inside = np.zeros((len(sizes), height, width, 1), np.float32)
    for picture, (h, w) in zip(inside, sizes, strict=True):
        picture[:h, :w] = 1

    def ours(x: Tensor) -> Tensor:
        return of(x.reshape(-1, CHANNELS), *tables).reshape(x.shape) * Tensor(inside)

    def theirs(x: np.ndarray) -> np.ndarray:
        out = np.zeros(x.shape)
        for i, (h, w) in enumerate(sizes):
            out[i, :h, :w] = published(of, x[i, :h, :w], shift)
        return out

    assert_like(ours, theirs, random(50, len(sizes), height, width, CHANNELS))
