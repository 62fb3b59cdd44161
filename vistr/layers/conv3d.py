"""Three-dimensional convolution over the frames of an instance's sequence."""

from __future__ import annotations

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops import constexpr

from vistr.layers.conv import add_bias, convolution
from vistr.layers.padding import masked
from vistr.layers.parameters import uniform
from vistr.runtime import backend


@constexpr
def frame_shift_table(n: int, num_frames: int, num_pixels: int, num_taps: int, tap: int, dilation: int) -> Tensor:
    """Row of `[n*T*P*taps + 1, O]` (sequence, frame, pixel, tap) that temporal `tap` adds to every output row."""
    source = np.arange(num_frames) + (tap - num_taps // 2) * dilation
    inside = (source >= 0) & (source < num_frames)
    row = (np.arange(n)[:, None, None] * num_frames + source[None, :, None]) * num_pixels + np.arange(num_pixels)
    zero_row = n * num_frames * num_pixels * num_taps
    return Tensor(np.where(inside[None, :, None], row * num_taps + tap, zero_row).reshape(-1).astype(np.int32))


class SequenceConv(nn.Cell):
    """Cubic convolution `[N, T, H, W, I] -> [N, T, H, W, O]`, which keeps its size (the paper's section 3.3).

    The weight is `[O, k, k, k, I]`; `inside [N*T, H, W]` is 0 at padding. On the gather backend the k temporal taps are
    one 2-D convolution with k times the channels, whose results are shifted by frames and added: a k-th of the
    gathering.
    """

    def __init__(self, in_channels: int, out_channels: int, dilation: int, kernel: int = 3) -> None:
        super().__init__()
        self.dilation, self.out_channels, self.kernel = dilation, out_channels, kernel
        self.padding = dilation * (kernel // 2)
        bound = math.sqrt(1 / (in_channels * kernel**3))
        self.weight = uniform((out_channels, kernel, kernel, kernel, in_channels), bound, "weight")
        self.bias = Parameter(np.zeros(out_channels, np.float32), name="bias")
        self.native = backend.current() != "gather"
        self.spatial = convolution(kernel, 1, self.padding, dilation)

    def construct(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        out = self.run_native(x, inside) if self.native else self.run_gather(x, inside)
        return add_bias(out, self.bias)

    def run_gather(self, x: Tensor, inside: Tensor | None) -> Tensor:
        n, num_frames, h, w, channels = x.shape
        by_tap = self.weight.astype(x.dtype).transpose(1, 0, 2, 3, 4).reshape(-1, self.kernel, self.kernel, channels)
        taps = self.spatial(x.reshape(-1, h, w, channels), by_tap, inside)
        # [rows, (tap, O)] -> [rows * k, O], so that one gather both picks the tap and shifts the frames.
        rows = ops.concat((taps.reshape(-1, self.out_channels), ops.zeros((1, self.out_channels), x.dtype)), 0)
        out = ops.gather(rows, frame_shift_table(n, num_frames, h * w, self.kernel, 0, self.dilation), 0)
        for tap in range(1, self.kernel):
            out = out + ops.gather(rows, frame_shift_table(n, num_frames, h * w, self.kernel, tap, self.dilation), 0)
        return out.reshape(n, num_frames, h, w, self.out_channels)

    def run_native(self, x: Tensor, inside: Tensor | None) -> Tensor:
        n, num_frames, h, w, channels = x.shape
        seen = masked(x.reshape(-1, h, w, channels), inside).reshape(n, num_frames, h, w, channels)
        out = ops.conv3d(
            seen.transpose(0, 4, 1, 2, 3),
            self.weight.astype(x.dtype).transpose(0, 4, 1, 2, 3),
            pad_mode="pad",
            padding=self.padding,
            dilation=self.dilation,
        )
        return out.transpose(0, 2, 3, 4, 1)
