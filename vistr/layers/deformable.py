"""Deformable 3x3 convolution (arXiv 1703.06211), from gathers and matrix products on every device."""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import constexpr

from vistr.layers import backend
from vistr.layers.conv import Conv2d, add_bias
from vistr.layers.parameters import uniform
from vistr.layers.tables import tap_order_table

NUM_TAPS = 9


@constexpr
def num_chunks(num_images: int, limit: int) -> int:
    """The fewest equal chunks of at most `limit` images."""
    return min(count for count in range(1, num_images + 1) if num_images % count == 0 and num_images <= count * limit)


@constexpr
def tap_positions(num_images: int, height: int, width: int, axis: int) -> Tensor:
    """Row (axis 0) or column (axis 1) of every tap of every pixel before it is moved: float32 `[n, H*W, 9]`."""
    y, x, dy, dx = np.meshgrid(np.arange(height), np.arange(width), (-1, 0, 1), (-1, 0, 1), indexing="ij")
    image = (y + dy if axis == 0 else x + dx).reshape(1, -1, NUM_TAPS).astype(np.float32)
    return Tensor(np.repeat(image, num_images, 0))


@constexpr
def tap_starts(num_images: int, height: int, width: int) -> Tensor:
    """Row of `[n*H*W*9, O]` of every tap at its image's first pixel: int32 `[n, H*W, 9]`."""
    image = np.arange(num_images)[:, None, None] * (height * width * NUM_TAPS)
    starts = np.broadcast_to(image + np.arange(NUM_TAPS), (num_images, height * width, NUM_TAPS))
    return Tensor(starts.astype(np.int32))


@constexpr
def plane_rows(plane: int) -> Tensor:
    """Output channels of the offsets' one plane: 0 is dy, 1 is dx, which alternate; int32 `[9]`."""
    return Tensor(np.arange(plane, 2 * NUM_TAPS, 2).astype(np.int32))


class OffsetConv(Conv2d):
    """1x1 convolution that moves the taps: `[N, H, W, I]` to their dy and dx, `[N, H*W, 9]` each.

    The original's 18 channels alternate dy and dx; the two planes are computed apart, as slicing them apart
    afterwards costs more than the products.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, 2 * NUM_TAPS)
        self.weight.set_data(Tensor(np.zeros(self.weight.shape, np.float32)))

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.plane(x, plane_rows(0)), self.plane(x, plane_rows(1))

    def plane(self, x: Tensor, rows: Tensor) -> Tensor:
        weight = ops.gather(self.weight, rows, 0).astype(x.dtype)
        out = add_bias(self.run(x, weight), ops.gather(self.bias, rows, 0))
        # Places in an image, which half precision would round to an eighth of a pixel.
        return out.reshape(x.shape[0], -1, NUM_TAPS).astype(ms.float32)


class BilinearTaps(nn.Cell):
    """Sum over taps of `[n*H*W*9, O]`, each read bilinearly where its offset points; zero outside the image."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = ops.BatchMatMul()

    def construct(self, taps: Tensor, dy: Tensor, dx: Tensor, height: int, width: int) -> Tensor:
        n = dy.shape[0]
        rows, row_weights = self.neighbours(dy + tap_positions(n, height, width, 0), height)
        columns, column_weights = self.neighbours(dx + tap_positions(n, height, width, 1), width)
        starts = tap_starts(n, height, width)
        tables: tuple[Tensor, ...] = ()  # lists would not export to ONNX
        weights: tuple[Tensor, ...] = ()
        for i in range(2):
            line = rows[i] * (width * NUM_TAPS) + starts
            for j in range(2):
                tables = (*tables, line + columns[j] * NUM_TAPS)
                weights = (*weights, row_weights[i] * column_weights[j])
        table = ops.concat(tables, 2).reshape(-1)
        weight = ops.concat(weights, 2).reshape(-1, 1, NUM_TAPS * 4)
        values = ops.gather(taps, table, 0).reshape(-1, NUM_TAPS * 4, taps.shape[-1])
        return self.weigh(weight.astype(values.dtype), values).reshape(n, height, width, -1)

    def neighbours(self, position: Tensor, size: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Index and weight of the two cells around a position along one axis; a cell outside weighs nothing."""
        low = ops.stop_gradient(ops.floor(position))
        distance = position - low
        indices: tuple[Tensor, ...] = ()
        weights: tuple[Tensor, ...] = ()
        for step in range(2):
            cell = low + step
            inside = ops.clamp(cell, 0, size - 1)
            weight = distance if step else 1 - distance
            weights = (*weights, weight * ops.equal(inside, cell).astype(weight.dtype))
            indices = (*indices, inside.astype(ms.int32))
        return indices, weights


class DeformableConv(nn.Cell):
    """`x [N, H, W, I]` and its taps' dy, dx `[N, H*W, 9]` in pixels to `[N, H, W, O]`; no bias.

    The 1x1 products come first (reading is linear), so that what is gathered has O channels, not I. Images are
    taken a few at a time: the gathered rows are 36 times the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = uniform((out_channels, 3, 3, in_channels), math.sqrt(1 / (in_channels * NUM_TAPS)), "weight")
        self.rows_by_columns = ops.MatMul(transpose_b=True)
        self.rows_a_chunk = backend.limits().deformable_rows
        self.read = BilinearTaps()
        self.read.recompute()

    def construct(self, x: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        n, h, w, channels = x.shape
        out_channels = self.weight.shape[0]
        rows = self.weight.astype(x.dtype).reshape(-1, channels)
        by_tap = ops.gather(rows, tap_order_table(out_channels, NUM_TAPS), 0)
        count = num_chunks(n, max(1, self.rows_a_chunk // (h * w)))
        if count == 1:
            return self.of_chunk(x, dy, dx, by_tap)
        # Split, not sliced: the gradient of every slice would be as large as the whole.
        split = ops.Split(0, count)
        xs, dys, dxs = split(x), split(dy), split(dx)
        parts: tuple[Tensor, ...] = ()
        for i in range(count):
            parts = (*parts, self.of_chunk(xs[i], dys[i], dxs[i], by_tap))
        return ops.concat(parts, 0)

    def of_chunk(self, x: Tensor, dy: Tensor, dx: Tensor, by_tap: Tensor) -> Tensor:
        _, h, w, channels = x.shape
        taps = self.rows_by_columns(x.reshape(-1, channels), by_tap).reshape(-1, self.weight.shape[0])
        return self.read(taps, dy, dx, h, w)
