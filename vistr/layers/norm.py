"""Normalisation layers over channels-last tensors."""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from vistr.layers import backend
from vistr.layers.tables import group_average_matrix, repeat_table


class GroupNorm(nn.Cell):
    """Group normalisation of every sample of `[N, ..., C]` over its inner axes and each group's channels.

    `groups` is lowered to the largest count that divides the channels, so that narrow models work. Computed in
    float32.
    """

    def __init__(self, groups: int, channels: int) -> None:
        super().__init__()
        self.weight = Parameter(np.ones(channels, np.float32), name="weight")
        self.bias = Parameter(np.zeros(channels, np.float32), name="bias")
        self.normalise = GroupNormalise(math.gcd(groups, channels))

    def construct(self, x: Tensor) -> Tensor:
        rows = x.reshape(x.shape[0], -1, x.shape[-1]).astype(ms.float32)
        return self.normalise(rows, self.weight, self.bias).astype(x.dtype).reshape(x.shape)


class GroupNormalise(nn.Cell):
    """Group normalisation of `rows [n, L, C]` with weight and bias `[C]`.

    Written out with its backward pass: what is kept for it is the input alone, and nothing is broadcast (on a CPU
    MindSpore's broadcasting keeps 16 bytes an element for good, and takes ten times as long as plain arithmetic).
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups, self.sums_natively = groups, backend.sums_natively()
        self.batch_matmul, self.add_bias = ops.BatchMatMul(), ops.BiasAdd()

    def construct(self, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        n, length, channels = rows.shape
        centred = self.centre(rows)
        scale = self.inverse_deviation(centred)
        out = (centred * repeat_rows(scale * weight, length)).reshape(-1, channels)
        return self.add_bias(out, bias).reshape(n, length, channels)

    def bprop(
        self, rows: Tensor, weight: Tensor, bias: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        length = rows.shape[1]
        # Tied to the incoming gradient, or the scheduler makes every layer's copy at once.
        centred = self.centre(ops.depend(rows, dout))
        scale = self.inverse_deviation(centred)
        dbias, dweight = self.sums(dout), self.sums(dout * centred)
        shift = -scale * self.group_mean(dbias * weight, length)
        slope = -scale * scale * scale * self.group_mean(dweight * weight, length)
        drows = dout * repeat_rows(scale * weight, length) + centred * repeat_rows(slope, length)
        return drows + repeat_rows(shift, length), (dweight * scale).sum(0), dbias.sum(0)

    def centre(self, rows: Tensor) -> Tensor:
        """Rows less their group's mean."""
        length = rows.shape[1]
        return rows - repeat_rows(self.group_mean(self.sums(rows), length), length)

    def inverse_deviation(self, centred: Tensor) -> Tensor:
        """1 / the deviation of every channel's group: `[n, L, C] -> [n, C]`."""
        deviation = ops.sqrt(self.group_mean(self.sums(centred * centred), centred.shape[1]) + 1e-5)
        return ops.ones(deviation.shape, deviation.dtype) / deviation  # "1 /" is a Reciprocal, which ONNX export lacks

    def sums(self, rows: Tensor) -> Tensor:
        """`[n, L, C]` summed over L; on a CPU as a matrix product, where reductions take several times as long."""
        if self.sums_natively:
            return rows.sum(1)
        n, length, channels = rows.shape
        return self.batch_matmul(ops.ones((n, 1, length), rows.dtype), rows).reshape(n, channels)

    def group_mean(self, sums: Tensor, length: int) -> Tensor:
        """Sums over L rows `[n, C]` to the mean over those and the channels of each group, at every channel."""
        if self.sums_natively:
            n, channels = sums.shape
            means = sums.reshape(n, self.groups, -1).mean(2, True) * (1.0 / length)
            return ops.tile(means, (1, 1, channels // self.groups)).reshape(n, channels)
        return ops.matmul(sums, group_average_matrix(sums.shape[1], self.groups)) * (1.0 / length)


def repeat_rows(rows: Tensor, length: int) -> Tensor:
    """Every row `[n, C]` `length` times: `[n, length, C]`; a gather, without a gradient that is worth its time."""
    n, channels = rows.shape
    return ops.gather(rows, repeat_table(n, length), 0).reshape(n, length, channels)


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis, computed in float32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = Parameter(np.ones(channels, np.float32), name="weight")
        self.bias = Parameter(np.zeros(channels, np.float32), name="bias")
        self.normalise = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=1e-5)

    def construct(self, x: Tensor) -> Tensor:
        return self.normalise(x.astype(ms.float32), self.weight, self.bias)[0].astype(x.dtype)
