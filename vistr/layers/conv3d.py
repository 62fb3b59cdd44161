"""Three-dimensional convolution over the frames of an instance's sequence."""

from __future__ import annotations

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops import constexpr

from vistr.layers import backend
from vistr.layers.conv import add_bias, convolution, uniform


@constexpr
def frame_shift_table(n: int, num_frames: int, num_pixels: int, tap: int, dilation: int) -> Tensor:
    """Row of `[n*T*P*3 + 1, O]` (sequence, frame, pixel, tap) that temporal `tap` adds to every output row."""
    source = np.arange(num_frames) + (tap - 1) * dilation
    inside = (source >= 0) & (source < num_frames)
    row = (np.arange(n)[:, None, None] * num_frames + source[None, :, None]) * num_pixels + np.arange(num_pixels)
    zero_row = n * num_frames * num_pixels * 3
    return Tensor(np.where(inside[None, :, None], row * 3 + tap, zero_row).reshape(-1).astype(np.int32))


class SequenceConv(nn.Cell):
    """3x3x3 convolution `[N, T, H, W, I] -> [N, T, H, W, O]`, dilated and padded alike (the paper's section 3.3).

    The weight is `[O, 3, 3, 3, I]`. On the gather backend the three temporal taps are one 2-D convolution with
    three times the channels, whose results are shifted by frames and added: a third of the gathering.
    """

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation, self.out_channels = dilation, out_channels
        self.weight = uniform((out_channels, 3, 3, 3, in_channels), math.sqrt(1 / (in_channels * 27)), "weight")
        self.bias = Parameter(np.zeros(out_channels, np.float32), name="bias")
        self.native = backend.current() == "native"
        self.spatial = convolution(3, 1, dilation, dilation)

    def construct(self, x: Tensor) -> Tensor:
        out = self.run_native(x) if self.native else self.run_gather(x)
        return add_bias(out, self.bias)

    def run_gather(self, x: Tensor) -> Tensor:
        n, num_frames, h, w, channels = x.shape
        by_tap = self.weight.astype(x.dtype).transpose(1, 0, 2, 3, 4).reshape(-1, 3, 3, channels)
        taps = self.spatial(x.reshape(-1, h, w, channels), by_tap)
        # [rows, (tap, O)] -> [rows * 3, O], so that one gather both picks the tap and shifts the frames.
        rows = ops.concat((taps.reshape(-1, self.out_channels), ops.zeros((1, self.out_channels), x.dtype)), 0)
        out = ops.gather(rows, frame_shift_table(n, num_frames, h * w, 0, self.dilation), 0)
        out = out + ops.gather(rows, frame_shift_table(n, num_frames, h * w, 1, self.dilation), 0)
        out = out + ops.gather(rows, frame_shift_table(n, num_frames, h * w, 2, self.dilation), 0)
        return out.reshape(n, num_frames, h, w, self.out_channels)

    def run_native(self, x: Tensor) -> Tensor:
        out = ops.conv3d(
            x.transpose(0, 4, 1, 2, 3),
            self.weight.astype(x.dtype).transpose(0, 4, 1, 2, 3),
            pad_mode="pad",
            padding=self.dilation,
            dilation=self.dilation,
        )
        return out.transpose(0, 2, 3, 4, 1)
