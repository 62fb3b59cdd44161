"""Index tables and interpolation matrices, made once per size on the host.

The functions named `*_table` and `*_matrix` are evaluated while a graph is compiled and become its constants.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from mindspore import Tensor
from mindspore.ops import constexpr


def out_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Length of a convolution's output along one axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _taps(height: int, width: int, kernel: int, stride: int, padding: int, dilation: int) -> np.ndarray:
    """Input pixel of every (output pixel, tap) within one image, -1 in the zero border: `[Ho*Wo, k*k]`."""
    rows = np.arange(out_size(height, kernel, stride, padding, dilation)) * stride - padding
    columns = np.arange(out_size(width, kernel, stride, padding, dilation)) * stride - padding
    offsets = np.arange(kernel) * dilation
    y = (rows[:, None] + offsets)[:, None, :, None]
    x = (columns[:, None] + offsets)[None, :, None, :]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return np.where(inside, y * width + x, -1).reshape(len(rows) * len(columns), kernel * kernel)


def _over_images(taps: np.ndarray, num_images: int, num_rows: int) -> np.ndarray:
    """Repeat one image's table for every image; -1 becomes the zero row behind the last image."""
    starts = np.arange(num_images)[:, None, None] * num_rows
    return np.where(taps < 0, num_images * num_rows, taps + starts).reshape(-1).astype(np.int32)


@lru_cache(maxsize=256)
def _gather(n: int, h: int, w: int, kernel: int, stride: int, padding: int, dilation: int) -> np.ndarray:
    return _over_images(_taps(h, w, kernel, stride, padding, dilation), n, h * w)


@lru_cache(maxsize=256)
def _scatter(n: int, h: int, w: int, kernel: int, stride: int, padding: int, dilation: int) -> np.ndarray:
    taps = _taps(h, w, kernel, stride, padding, dilation)
    inverse = np.full((h * w, kernel * kernel), -1)
    output, tap = np.nonzero(taps >= 0)
    inverse[taps[output, tap], tap] = output
    return _over_images(inverse, n, len(taps))


@constexpr
def num_chunks(num_parts: int, size: int, limit: int) -> int:
    """The fewest equal chunks of parts of `size` elements, with at most `limit` in each; or a chunk for every part."""
    fits = (count for count in range(1, num_parts) if num_parts // count * size <= limit)
    return next((count for count in fits if num_parts % count == 0), num_parts)


@constexpr
def gather_table(n: int, h: int, w: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Row of `[n*h*w + 1, C]` under every (output pixel, tap), int32 `[n*Ho*Wo*k*k]`; the last row is zero."""
    return Tensor(_gather(n, h, w, kernel, stride, padding, dilation))


@constexpr
def scatter_table(n: int, h: int, w: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """The output row that every (input pixel, tap) went to, int32 `[n*h*w*k*k]`: `gather_table` turned round."""
    return Tensor(_scatter(n, h, w, kernel, stride, padding, dilation))


@constexpr
def tap_order_table(out_channels: int, num_taps: int) -> Tensor:
    """Order that turns rows (output channel, tap) into rows (tap, output channel), int32."""
    order = np.arange(out_channels * num_taps).reshape(out_channels, num_taps).T
    return Tensor(order.reshape(-1).astype(np.int32))


@constexpr
def pool_table(n: int, length: int, width: int, out_length: int, tap: int) -> Tensor:
    """Row of `[n*length*width + 1, C]` under one tap of a 3-wide, stride-2 pool along `length`; the last is zero."""
    source = np.arange(out_length) * 2 - 1 + tap
    inside = (source >= 0) & (source < length)
    row = (np.arange(n)[:, None, None] * length + source[None, :, None]) * width + np.arange(width)
    return Tensor(np.where(inside[None, :, None], row, n * length * width).reshape(-1).astype(np.int32))


@constexpr
def nearest_table(n: int, h: int, w: int, out_h: int, out_w: int) -> Tensor:
    """Source row of every pixel of a nearest-neighbour resize, int32 `[n*out_h*out_w]`."""
    y = np.minimum(np.floor(np.arange(out_h, dtype=np.float32) * np.float32(h / out_h)), h - 1).astype(np.int32)
    x = np.minimum(np.floor(np.arange(out_w, dtype=np.float32) * np.float32(w / out_w)), w - 1).astype(np.int32)
    image = y[:, None] * w + x[None, :]
    return Tensor((np.arange(n, dtype=np.int32)[:, None, None] * (h * w) + image).reshape(-1).astype(np.int32))


@constexpr
def image_starts(n: int, size: int) -> Tensor:
    """The row that every image of `size` pixels begins with, int32 `[n, 1]`."""
    return Tensor(np.arange(n, dtype=np.int32)[:, None] * size)


@constexpr
def repeat_table(n: int, length: int) -> Tensor:
    """Every number below n `length` times, int32 `[n*length]`."""
    return Tensor(np.repeat(np.arange(n, dtype=np.int32), length))


@constexpr
def head_table(batch: int, length: int, num_heads: int) -> Tensor:
    """Order that turns rows (batch, position, head) into rows (batch, head, position), int32; its own inverse with
    the last two numbers exchanged."""
    order = np.arange(batch * length * num_heads, dtype=np.int32).reshape(batch, length, num_heads)
    return Tensor(np.ascontiguousarray(order.swapaxes(1, 2)).reshape(-1))


@constexpr
def bilinear_matrix(size: int, out_size: int, transposed: bool) -> Tensor:
    """Weights `[out_size, size]` (or their transpose) of a bilinear resize along one axis, corners not aligned."""
    position = np.clip((np.arange(out_size) + 0.5) * (size / out_size) - 0.5, 0, size - 1)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, size - 1)
    weights = np.zeros((out_size, size), np.float32)
    np.add.at(weights, (np.arange(out_size), low), 1 - (position - low))
    np.add.at(weights, (np.arange(out_size), high), position - low)
    return Tensor(np.ascontiguousarray(weights.T) if transposed else weights)


@constexpr
def group_average_matrix(channels: int, groups: int) -> Tensor:
    """`[C, C]` matrix that replaces every channel's value by its group's mean."""
    member = np.arange(channels) // (channels // groups)
    return Tensor((member[:, None] == member[None, :]).astype(np.float32) / (channels // groups))
