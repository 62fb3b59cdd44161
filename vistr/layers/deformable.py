"""Deformable 3x3 convolution (arXiv 1703.06211), from gathers and matrix products on every device."""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops import constexpr

from vistr.layers.bilinear import BilinearReading
from vistr.layers.conv import Conv2d, add_bias
from vistr.layers.parameters import uniform
from vistr.layers.tables import num_chunks, tap_order_table
from vistr.runtime import backend

NUM_TAPS = 9


@constexpr
def tap_positions(num_images: int, height: int, width: int) -> Tensor:
    """Rows of all pixels' taps before they are moved, then their columns: float32 `[2 * n, H*W, 9]`."""
    y, x, dy, dx = np.meshgrid(np.arange(height), np.arange(width), (-1, 0, 1), (-1, 0, 1), indexing="ij")
    images = np.stack((y + dy, x + dx)).reshape(2, -1, NUM_TAPS).astype(np.float32)
    return Tensor(np.repeat(images, num_images, 0))


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


class BilinearTaps(BilinearReading):
    """For `x [n, H, W, I]`, weights `[9 * O, I]` and offsets `[n, H*W, 9]` the sum of the weighted taps `[n, H, W, O]`.

    Every tap is read bilinearly where its offset points; outside the image all is zero, and images end at their
    `sizes [n, 2]` (height, width) where those are given, before the array does. The 1x1 products come first
    (reading is linear), so that what is gathered has O channels, not I. The gathered rows are 36 times the output:
    images are taken a few at a time, also in the backward pass, which gathers again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows_a_chunk = backend.limits().deformable_rows
        self.matmul, self.matmul_nt = ops.MatMul(), ops.MatMul(transpose_b=True)
        self.matmul_tn = ops.MatMul(transpose_a=True)

    def construct(self, x: Tensor, by_tap: Tensor, dy: Tensor, dx: Tensor, sizes: Tensor | None) -> Tensor:
        height, width = x.shape[1:3]
        count = self.count_chunks(x)
        # Split, not sliced: the gradient of every slice would be as large as the whole.
        split = ops.Split(0, count)
        xs, dys, dxs = split(x), split(dy), split(dx)
        ends = (None,) * count if sizes is None else split(sizes)
        parts: tuple[Tensor, ...] = ()  # lists would not export to ONNX
        for i in range(count):
            # One chunk after the other: the scheduler would hold the gathered rows of all at once.
            offsets = ops.depend(dys[i], parts[-1]) if parts else dys[i]
            table, weights, _ = self.places(offsets, dxs[i], ends[i], height, width)
            weight = self.corner_weights(weights).reshape(-1, 1, 4 * NUM_TAPS)
            values = self.values(xs[i], by_tap, table)
            parts = (*parts, self.bmm(weight.astype(x.dtype), values).reshape(-1, height, width, values.shape[2]))
        return parts[0] if count == 1 else ops.concat(parts, 0)

    def bprop(
        self, x: Tensor, by_tap: Tensor, dy: Tensor, dx: Tensor, sizes: Tensor | None, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        height, width, channels = x.shape[1:]
        count = self.count_chunks(x)
        split = ops.Split(0, count)
        xs, dys, dxs = split(x), split(dy), split(dx)
        douts = split(dout)
        ends = (None,) * count if sizes is None else split(sizes)
        grad_x: list[Tensor] = []
        grad_dy: list[Tensor] = []
        grad_dx: list[Tensor] = []
        grad_by_tap = ops.zeros_like(by_tap)
        for i in range(count):
            # None before the gradient is there.
            before = (grad_by_tap, grad_x[-1], grad_dy[-1], grad_dx[-1]) if i else dout
            chunk = ops.depend(xs[i], before)
            table, weights, seen = self.places(ops.depend(dys[i], before), dxs[i], ends[i], height, width)
            grad_rows = douts[i].reshape(-1, 1, dout.shape[3])
            values = self.values(chunk, by_tap, table)
            grad_weight = self.bmm_nt(grad_rows, values).astype(ms.float32)
            weight = self.corner_weights(weights).reshape(-1, 1, 4 * NUM_TAPS)
            # The values' gradient takes their place.
            weight = ops.depend(weight.astype(x.dtype), grad_weight)
            grad_values = self.bmm_tn(weight, grad_rows).reshape(-1, dout.shape[3])
            grad_taps = ops.unsorted_segment_sum(grad_values, table, chunk.size // channels * NUM_TAPS)
            grad_taps = grad_taps.reshape(-1, by_tap.shape[0])
            grad_x.append(self.matmul(grad_taps, by_tap).reshape(chunk.shape))
            grad_by_tap = grad_by_tap + self.matmul_tn(grad_taps, chunk.reshape(-1, channels))
            grad_offsets = self.position_gradients(grad_weight.reshape(*dys[i].shape[:2], -1), weights, seen)
            grad_dy.append(grad_offsets[0])
            grad_dx.append(grad_offsets[1])
        grad_sizes = None if sizes is None else ops.zeros_like(sizes)
        if count == 1:
            return grad_x[0], grad_by_tap, grad_dy[0], grad_dx[0], grad_sizes
        return ops.concat(grad_x, 0), grad_by_tap, ops.concat(grad_dy, 0), ops.concat(grad_dx, 0), grad_sizes

    def count_chunks(self, x: Tensor) -> int:
        """How many parts the images are taken in."""
        rows = 2 * self.rows_a_chunk if x.dtype == ms.float16 else self.rows_a_chunk
        return num_chunks(x.shape[0], x.shape[1] * x.shape[2], rows)  # type: ignore[no-any-return]

    def values(self, x: Tensor, by_tap: Tensor, table: Tensor) -> Tensor:
        """The values at the four corners of every tap: `[n*H*W, 36, O]`."""
        out_channels = by_tap.shape[0] // NUM_TAPS
        taps = self.matmul_nt(x.reshape(-1, x.shape[3]), by_tap).reshape(-1, out_channels)
        return ops.gather(taps, table, 0).reshape(-1, NUM_TAPS * 4, out_channels)

    def places(
        self, dy: Tensor, dx: Tensor, sizes: Tensor | None, height: int, width: int
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """`corners` of every tap, the table being `[n*H*W*9, O]`."""
        n = dy.shape[0]
        position = ops.concat((dy, dx), 0) + tap_positions(n, height, width)
        return self.corners(position, sizes, tap_starts(n, height, width), (height, width), NUM_TAPS)


class DeformableConv(nn.Cell):
    """`x [N, H, W, I]` and its taps' dy, dx `[N, H*W, 9]` in pixels to `[N, H, W, O]`.

    `sizes [N, 2]`: the images' height and width before padding; None: they fill the array.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = uniform((out_channels, 3, 3, in_channels), math.sqrt(1 / (in_channels * NUM_TAPS)), "weight")
        self.bias = Parameter(np.zeros(out_channels, np.float32), name="bias") if bias else None
        self.read = BilinearTaps()

    def construct(self, x: Tensor, dy: Tensor, dx: Tensor, sizes: Tensor | None = None) -> Tensor:
        rows = self.weight.astype(x.dtype).reshape(-1, x.shape[3])
        by_tap = ops.gather(rows, tap_order_table(self.weight.shape[0], NUM_TAPS), 0)
        out = self.read(x, by_tap, dy, dx, sizes)
        return out if self.bias is None else add_bias(out, self.bias)
