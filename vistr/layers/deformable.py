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
from vistr.layers.tables import num_chunks, tap_order_table

NUM_TAPS = 9


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

    def construct(self, x: Tensor, inside: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.plane(x, plane_rows(0)), self.plane(x, plane_rows(1))

    def plane(self, x: Tensor, rows: Tensor) -> Tensor:
        weight = ops.gather(self.weight, rows, 0).astype(x.dtype)
        out = add_bias(self.run(x, weight, None), ops.gather(self.bias, rows, 0))
        # Places in an image, which half precision would round to an eighth of a pixel.
        return out.reshape(x.shape[0], -1, NUM_TAPS).astype(ms.float32)


class BilinearTaps(nn.Cell):
    """For `x [n, H, W, I]`, weights `[9 * O, I]` and offsets `[n, H*W, 9]` the sum of the weighted taps `[n, H, W, O]`.

    Every tap is read bilinearly where its offset points; outside the image all is zero, and images end at their
    `sizes [n, 2]` (height, width) where those are given, before the array does. The 1x1 products come first
    (reading is linear), so that what is gathered has O channels, not I. The gathered rows are 36 times the output:
    images are taken a few at a time, also in the backward pass, which gathers again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows_a_chunk = backend.limits().deformable_rows
        self.rows_by_rows, self.rows_by_columns = ops.MatMul(), ops.MatMul(transpose_b=True)
        self.columns_by_rows = ops.MatMul(transpose_a=True)
        self.batches, self.batches_by_columns = ops.BatchMatMul(), ops.BatchMatMul(transpose_b=True)
        self.columns_of_batches = ops.BatchMatMul(transpose_a=True)

    def construct(self, x: Tensor, by_tap: Tensor, dy: Tensor, dx: Tensor, sizes: Tensor | None) -> Tensor:
        n, height, width, _ = x.shape
        count = num_chunks(n, height * width, self.rows_a_chunk)
        # Split, not sliced: the gradient of every slice would be as large as the whole.
        split = ops.Split(0, count)
        xs, dys, dxs = split(x), split(dy), split(dx)
        ends = (None,) * count if sizes is None else split(sizes)
        parts: tuple[Tensor, ...] = ()  # lists would not export to ONNX
        for i in range(count):
            # One chunk after the other: the scheduler would hold the gathered rows of all at once.
            offsets = ops.depend(dys[i], parts[-1]) if parts else dys[i]
            table, rows, columns = self.places(offsets, dxs[i], ends[i], height, width)
            weight = self.corner_weights(rows[0], columns[0])
            values = self.values(xs[i], by_tap, table)
            parts = (*parts, self.batches(weight.astype(x.dtype), values).reshape(-1, height, width, values.shape[2]))
        return parts[0] if count == 1 else ops.concat(parts, 0)

    def bprop(
        self, x: Tensor, by_tap: Tensor, dy: Tensor, dx: Tensor, sizes: Tensor | None, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        n, height, width, channels = x.shape
        count = num_chunks(n, height * width, self.rows_a_chunk)
        split = ops.Split(0, count)
        xs, dys, dxs = split(x), split(dy), split(dx)
        douts = split(dout)
        ends = (None,) * count if sizes is None else split(sizes)
        of_x: list[Tensor] = []
        of_dy: list[Tensor] = []
        of_dx: list[Tensor] = []
        of_by_tap = ops.zeros_like(by_tap)
        for i in range(count):
            # None before the gradient is there.
            before = (of_by_tap, of_x[-1], of_dy[-1], of_dx[-1]) if i else dout
            chunk = ops.depend(xs[i], before)
            table, rows, columns = self.places(ops.depend(dys[i], before), dxs[i], ends[i], height, width)
            of_rows = douts[i].reshape(-1, 1, dout.shape[3])
            values = self.values(chunk, by_tap, table)
            of_weight = self.batches_by_columns(of_rows, values).astype(ms.float32)
            weight = self.corner_weights(rows[0], columns[0])
            # The values' gradient takes their place.
            weight = ops.depend(weight.astype(x.dtype), of_weight)
            of_values = self.columns_of_batches(weight, of_rows).reshape(-1, dout.shape[3])
            of_taps = ops.unsorted_segment_sum(of_values, table, chunk.size // channels * NUM_TAPS)
            of_taps = of_taps.reshape(-1, by_tap.shape[0])
            of_x.append(self.rows_by_rows(of_taps, by_tap).reshape(chunk.shape))
            of_by_tap = of_by_tap + self.columns_by_rows(of_taps, chunk.reshape(-1, channels))
            of_offsets = self.offset_gradients(of_weight.reshape(*dys[i].shape[:2], -1), rows, columns)
            of_dy.append(of_offsets[0])
            of_dx.append(of_offsets[1])
        of_sizes = None if sizes is None else ops.zeros_like(sizes)
        if count == 1:
            return of_x[0], of_by_tap, of_dy[0], of_dx[0], of_sizes
        return ops.concat(of_x, 0), of_by_tap, ops.concat(of_dy, 0), ops.concat(of_dx, 0), of_sizes

    def values(self, x: Tensor, by_tap: Tensor, table: Tensor) -> Tensor:
        """What lies at the four corners of every tap: `[n*H*W, 36, O]`."""
        out_channels = by_tap.shape[0] // NUM_TAPS
        taps = self.rows_by_columns(x.reshape(-1, x.shape[3]), by_tap).reshape(-1, out_channels)
        return ops.gather(taps, table, 0).reshape(-1, NUM_TAPS * 4, out_channels)

    def places(
        self, dy: Tensor, dx: Tensor, sizes: Tensor | None, height: int, width: int
    ) -> tuple[Tensor, tuple[tuple[Tensor, ...], ...], tuple[tuple[Tensor, ...], ...]]:
        """The row of `[n*H*W*9, O]` at each corner, int32, and weights and slopes of the two rows and columns."""
        n = dy.shape[0]
        y, x = dy + tap_positions(n, height, width, 0), dx + tap_positions(n, height, width, 1)
        last_row = None if sizes is None else self.last(sizes[:, :1], y)
        last_column = None if sizes is None else self.last(sizes[:, 1:], x)
        rows, row_weights, row_slopes = self.neighbours(y, height, last_row)
        columns, column_weights, column_slopes = self.neighbours(x, width, last_column)
        starts = tap_starts(n, height, width)
        tables: tuple[Tensor, ...] = ()
        for i in range(2):
            line = rows[i] * (width * NUM_TAPS) + starts
            for j in range(2):
                tables = (*tables, line + columns[j] * NUM_TAPS)
        return ops.concat(tables, 2).reshape(-1), (row_weights, row_slopes), (column_weights, column_slopes)

    def corner_weights(self, rows: tuple[Tensor, ...], columns: tuple[Tensor, ...]) -> Tensor:
        """Products of the rows' and columns' weights: `[n*H*W, 1, 36]`."""
        weights = (rows[0] * columns[0], rows[0] * columns[1], rows[1] * columns[0], rows[1] * columns[1])
        return ops.concat(weights, 2).reshape(-1, 1, NUM_TAPS * 4)

    def offset_gradients(
        self, of_weight: Tensor, rows: tuple[tuple[Tensor, ...], ...], columns: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[Tensor, Tensor]:
        """The gradients of dy and dx, given those of the corners' weights `[n, H*W, 36]`."""
        of_corner = ops.Split(2, 4)(of_weight)
        (weights_y, slopes_y), (weights_x, slopes_x) = rows, columns
        of_row0 = of_corner[0] * weights_x[0] + of_corner[1] * weights_x[1]
        of_row1 = of_corner[2] * weights_x[0] + of_corner[3] * weights_x[1]
        of_column0 = of_corner[0] * weights_y[0] + of_corner[2] * weights_y[1]
        of_column1 = of_corner[1] * weights_y[0] + of_corner[3] * weights_y[1]
        return of_row0 * slopes_y[0] + of_row1 * slopes_y[1], of_column0 * slopes_x[0] + of_column1 * slopes_x[1]

    def last(self, size: Tensor, like: Tensor) -> Tensor:
        """The last cell along one axis of images of `size [n, 1]`, as large as `like`: broadcasting is dear."""
        return ops.matmul(size - 1, ops.ones((1, like.size // size.size), size.dtype)).reshape(like.shape)

    def neighbours(
        self, position: Tensor, size: int, last: Tensor | None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The two cells around a position along one axis: index, weight, and what the weight grows by with it.

        A cell outside weighs nothing.
        """
        low = ops.floor(position)
        distance = position - low
        indices: tuple[Tensor, ...] = ()
        weights: tuple[Tensor, ...] = ()
        slopes: tuple[Tensor, ...] = ()
        for step in range(2):
            cell = low + step
            inside = ops.clamp(cell, 0, size - 1) if last is None else ops.minimum(ops.relu(cell), last)
            seen = ops.equal(inside, cell).astype(position.dtype)
            weights = (*weights, (distance if step else 1 - distance) * seen)
            slopes = (*slopes, seen if step else -seen)
            indices = (*indices, inside.astype(ms.int32))
        return indices, weights, slopes


class DeformableConv(nn.Cell):
    """`x [N, H, W, I]` and its taps' dy, dx `[N, H*W, 9]` in pixels to `[N, H, W, O]`; no bias.

    `sizes [N, 2]`: the images' height and width before padding; None: they fill the array.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = uniform((out_channels, 3, 3, in_channels), math.sqrt(1 / (in_channels * NUM_TAPS)), "weight")
        self.read = BilinearTaps()

    def construct(self, x: Tensor, dy: Tensor, dx: Tensor, sizes: Tensor | None = None) -> Tensor:
        rows = self.weight.astype(x.dtype).reshape(-1, x.shape[3])
        by_tap = ops.gather(rows, tap_order_table(self.weight.shape[0], NUM_TAPS), 0)
        return self.read(x, by_tap, dy, dx, sizes)
