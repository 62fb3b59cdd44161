"""Deformable attention (arXiv 2010.04159) of one level over the frames of a clip, from gathers and matrix products."""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops import constexpr

from vistr.layers.bilinear import BilinearReading
from vistr.layers.conv import add_bias
from vistr.layers.linear import Linear
from vistr.layers.parameters import set_value
from vistr.layers.tables import num_chunks
from vistr.runtime import backend

# Added to the attention of a frame that the clip does not have: nothing of it is left after the softmax.
NO_FRAME = -3e4


def neighbours(num_frames: int, window: int) -> np.ndarray:
    """The frames within `window` frames of each of a clip's, before it and then after it: int `[T, 2 * window]`.

    Frames that the clip does not have are below 0, or `num_frames` and above.
    """
    steps = [step for step in range(-window, window + 1) if step]
    near: np.ndarray = np.arange(num_frames)[:, None] + np.array(steps, int)
    return near


@constexpr
def own_places(num_images: int, height: int, width: int, num_heads: int, num_points: int) -> Tensor:
    """Every pixel's row, then every pixel's column, for each head and point: float32 `[2 * n, h*w*heads, p]`."""
    y, x, _ = np.meshgrid(np.arange(height), np.arange(width), np.arange(num_heads), indexing="ij")
    image = np.stack((y, x)).reshape(2, -1, 1).astype(np.float32)
    return Tensor(np.tile(np.repeat(image, num_images, 0), (1, 1, num_points)))


@constexpr
def point_starts(
    size: tuple[int, int, int, int], num_heads: int, num_points: int, window: int, temporal_points: int
) -> Tensor:
    """Row of `[B*T*h*w*heads, d]` that every point's frame begins with, for its head; `size` is (B, T, h, w).

    int32 `[B*T, h*w*heads, p]`: `num_points` in a pixel's own frame, then `temporal_points` in each neighbouring one.
    """
    batch, num_frames, height, width = size
    near = neighbours(num_frames, window).clip(0, num_frames - 1).repeat(temporal_points, 1)
    frames = np.concatenate((np.arange(num_frames)[:, None].repeat(num_points, 1), near), 1)
    images = (np.arange(batch)[:, None, None] * num_frames + frames).reshape(batch * num_frames, 1, -1)
    heads = np.tile(np.arange(num_heads), height * width)[None, :, None]
    return Tensor((images * (height * width * num_heads) + heads).astype(np.int32))


@constexpr
def absent_frames(size: tuple[int, int, int, int], num_heads: int, window: int, temporal_points: int) -> Tensor:
    """0 for points in neighbouring frames that the clip has, else NO_FRAME: float32 `[B*T, h*w*heads, p]`."""
    batch, num_frames, height, width = size
    near = neighbours(num_frames, window)
    absent = np.where((near < 0) | (near >= num_frames), np.float32(NO_FRAME), np.float32(0))
    return Tensor(np.tile(absent.repeat(temporal_points, 1)[:, None], (batch, height * width * num_heads, 1)))


@constexpr
def plane_rows(plane: int, num_rows: int) -> Tensor:
    """Output channels of one plane of the offsets: 0 is dx, 1 is dy, which alternate; int32."""
    return Tensor(np.arange(plane, 2 * num_rows, 2).astype(np.int32))


class PointOffsets(nn.Cell):
    """`x [B*T*h*w, C]` to the dy and dx of every head's points, in pixels of the map: float32 `[B*T, h*w*heads, p]`.

    At first they do not depend on `x`: head i looks along the angle 2 pi i / heads, and its point k lies k + 1 pixels
    away, the larger of the two coordinates counting. `num_frames` are those that each have `num_points` of their own.
    """

    def __init__(self, channels: int, num_heads: int, num_frames: int, num_points: int) -> None:
        super().__init__()
        angles = np.arange(num_heads) * (2 * math.pi / num_heads)
        directions = np.stack((np.cos(angles), np.sin(angles)), 1)
        directions /= np.abs(directions).max(1, keepdims=True)
        steps = np.tile(np.arange(1, num_points + 1), num_frames)
        bias = (directions[:, None] * steps[:, None]).reshape(-1).astype(np.float32)
        self.weight = Parameter(np.zeros((bias.size, channels), np.float32), name="weight")
        self.bias = Parameter(bias, name="bias")
        self.num_points = num_frames * num_points
        self.matmul_nt = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor, num_images: int) -> tuple[Tensor, Tensor]:
        return self.plane(x, 1, num_images), self.plane(x, 0, num_images)

    def plane(self, x: Tensor, number: int, num_images: int) -> Tensor:
        """The offsets along one axis. Slicing the two apart would cost more than the products."""
        rows = plane_rows(number, self.weight.shape[0] // 2)
        out = self.matmul_nt(x, ops.gather(self.weight, rows, 0).astype(x.dtype))
        # Places in a map, which half precision would round.
        out = add_bias(out.astype(ms.float32), ops.gather(self.bias, rows, 0))
        return out.reshape(num_images, -1, self.num_points)


class PointReading(BilinearReading):
    """`value [B, T, h, w, C]` read at points, each head its own channels, and summed by `weights`: `[B, T, h, w, C]`.

    `weights`, `dy` and `dx` are float32 `[B*T, h*w*heads, p]`, the offsets being counted from a pixel's own place;
    `sizes [B*T, 2]` are the (height, width) that pictures have in the maps, beyond which all is zero. The values that
    are read are 4p times the output: frames are taken a few at a time, also in the backward pass, which reads again.
    """

    def __init__(self, num_heads: int, num_points: int, window: int, temporal_points: int) -> None:
        super().__init__()
        self.num_heads, self.num_points = num_heads, num_points
        self.window, self.temporal_points = window, temporal_points
        self.values_a_chunk = backend.limits().attention_scores

    def construct(self, value: Tensor, weights: Tensor, dy: Tensor, dx: Tensor, sizes: Tensor) -> Tensor:
        rows = value.reshape(-1, value.shape[4] // self.num_heads)
        chunks = self.chunks(value, weights, dy, dx, sizes)
        parts: tuple[Tensor, ...] = ()  # lists would not export to ONNX
        for i in range(len(chunks[0])):
            # One chunk after the other: the scheduler would hold what is read for all at once.
            offsets = ops.depend(chunks[1][i], parts[-1]) if parts else chunks[1][i]
            table, bilinear, _ = self.places(value, offsets, chunks[2][i], chunks[3][i], chunks[4][i])
            weight = self.four(chunks[0][i]) * self.corner_weights(bilinear)
            weight = weight.reshape(-1, 1, weight.shape[2]).astype(value.dtype)
            parts = (*parts, self.bmm(weight, ops.gather(rows, table, 0).reshape(-1, weight.shape[2], rows.shape[1])))
        out = parts[0] if len(parts) == 1 else ops.concat(parts, 0)
        return out.reshape(value.shape)

    def bprop(
        self, value: Tensor, weights: Tensor, dy: Tensor, dx: Tensor, sizes: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        rows = value.reshape(-1, value.shape[4] // self.num_heads)
        num_rows, width = rows.shape
        chunks = self.chunks(value, weights, dy, dx, sizes)
        count = len(chunks[0])
        douts = ops.Split(0, count)(dout.reshape(-1, 1, width))
        grad_weights: list[Tensor] = []
        grad_dy: list[Tensor] = []
        grad_dx: list[Tensor] = []
        grad_rows = ops.zeros_like(rows)
        for i in range(count):
            # None before the gradient is there.
            before = (grad_rows, grad_weights[-1], grad_dy[-1], grad_dx[-1]) if i else dout
            attention = ops.depend(chunks[0][i], before)
            offsets = ops.depend(chunks[1][i], before)
            table, bilinear, seen = self.places(value, offsets, chunks[2][i], chunks[3][i], chunks[4][i])
            corners = self.corner_weights(bilinear)
            shape, num_values = corners.shape, corners.shape[2]
            read = ops.gather(ops.depend(rows, before), table, 0).reshape(-1, num_values, width)
            grad_corners = self.bmm_nt(douts[i], read).astype(ms.float32).reshape(shape)
            weight = (self.four(attention) * corners).reshape(-1, 1, num_values).astype(value.dtype)
            # The values' gradient takes their place.
            weight = ops.depend(weight, grad_corners)
            grad_read = self.bmm_tn(weight, douts[i]).reshape(-1, width)
            grad_rows = grad_rows + ops.unsorted_segment_sum(grad_read, table, num_rows)
            by_corner = ops.Split(2, 4)(grad_corners * corners)
            grad_weights.append(by_corner[0] + by_corner[1] + by_corner[2] + by_corner[3])
            grads = self.position_gradients(grad_corners * self.four(attention), bilinear, seen)
            grad_dy.append(grads[0])
            grad_dx.append(grads[1])
        grad_value, grad_sizes = grad_rows.reshape(value.shape), ops.zeros_like(sizes)
        if count == 1:
            return grad_value, grad_weights[0], grad_dy[0], grad_dx[0], grad_sizes
        return grad_value, ops.concat(grad_weights, 0), ops.concat(grad_dy, 0), ops.concat(grad_dx, 0), grad_sizes

    def chunks(
        self, value: Tensor, weights: Tensor, dy: Tensor, dx: Tensor, sizes: Tensor
    ) -> tuple[tuple[Tensor, ...], ...]:
        """Weights, dy, dx, sizes and the points' starts, each as equal numbers of frames.

        Split, not sliced: the gradient of every slice would be as large as the whole.
        """
        of_frame = 4 * weights.size // weights.shape[0] * (value.shape[4] // self.num_heads)
        split = ops.Split(0, num_chunks(weights.shape[0], of_frame, self.values_a_chunk))
        starts = point_starts(value.shape[:4], self.num_heads, self.num_points, self.window, self.temporal_points)
        return split(weights), split(dy), split(dx), split(sizes), split(starts)

    def places(
        self, value: Tensor, dy: Tensor, dx: Tensor, sizes: Tensor, starts: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """`corners` of every point, the table being the heads' rows of all frames."""
        height, width = value.shape[2], value.shape[3]
        own = own_places(dy.shape[0], height, width, self.num_heads, dy.shape[2])
        return self.corners(ops.concat((dy, dx), 0) + own, sizes, starts, (height, width), self.num_heads)

    def four(self, x: Tensor) -> Tensor:
        """The same for each of the four corners."""
        return ops.concat((x, x, x, x), 2)


class DeformableAttention(nn.Cell):
    """Attention of every pixel to `num_points` points a head of its own frame, around its own place.

    With `temporal_points` it also reads so many in each of the `window` frames before and after that the clip has;
    one softmax runs over all of a pixel's points. Where they lie, and what each weighs, are linear in the query. The
    published reference point, a pixel's centre over the map's size, times that size again is the pixel's place: sizes
    need not be known to find it.
    """

    def __init__(self, channels: int, num_heads: int, num_points: int, temporal_points: int, window: int) -> None:
        super().__init__()
        self.num_heads, self.temporal_points, self.window = num_heads, temporal_points, window
        self.sampling_offsets = PointOffsets(channels, num_heads, 1, num_points)
        self.attention_weights = zero_linear(channels, num_heads * num_points)
        if temporal_points:
            self.temporal_sampling_offsets = PointOffsets(channels, num_heads, 2 * window, temporal_points)
            self.temporal_attention_weights = zero_linear(channels, num_heads * 2 * window * temporal_points)
        self.value_proj, self.output_proj = Linear(channels, channels), Linear(channels, channels)
        self.softmax = ops.Softmax(-1)
        self.read = PointReading(num_heads, num_points, window, temporal_points)

    def construct(self, query: Tensor, x: Tensor, sizes: Tensor) -> Tensor:
        """`query` and `x` are `[B, T, h, w, C]`, and so is the result; `sizes [B*T, 2]` as for `PointReading`."""
        num_images = query.shape[0] * query.shape[1]
        rows = query.reshape(-1, query.shape[4])
        dy, dx = self.sampling_offsets(rows, num_images)
        scores = self.by_head(self.attention_weights(rows), num_images)
        if self.temporal_points:
            temporal_dy, temporal_dx = self.temporal_sampling_offsets(rows, num_images)
            temporal = self.by_head(self.temporal_attention_weights(rows), num_images)
            temporal = temporal + absent_frames(query.shape[:4], self.num_heads, self.window, self.temporal_points)
            dy, dx = ops.concat((dy, temporal_dy), 2), ops.concat((dx, temporal_dx), 2)
            scores = ops.concat((scores, temporal), 2)
        return self.output_proj(self.read(self.value_proj(x), self.softmax(scores), dy, dx, sizes))

    def by_head(self, scores: Tensor, num_images: int) -> Tensor:
        """`[B*T*h*w, heads * p]` as float32 `[B*T, h*w*heads, p]`."""
        points = scores.shape[1] // self.num_heads
        return scores.astype(ms.float32).reshape(num_images, -1, points)


def zero_linear(in_channels: int, out_channels: int) -> Linear:
    """A fully connected layer that gives zeros until it is trained."""
    layer = Linear(in_channels, out_channels)
    set_value(layer.weight, np.zeros(layer.weight.shape, np.float32))
    return layer
