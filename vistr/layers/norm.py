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

    `groups` is lowered to the largest count that divides the channels, so that narrow models work. What `inside`, of
    N times the inner axes, says is padding counts for nothing. Computed in float32.
    """

    def __init__(self, groups: int, channels: int) -> None:
        super().__init__()
        self.weight = Parameter(np.ones(channels, np.float32), name="weight")
        self.bias = Parameter(np.zeros(channels, np.float32), name="bias")
        self.normalise = GroupNormalise(math.gcd(groups, channels))

    def construct(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        rows = x.reshape(x.shape[0], -1, x.shape[-1]).astype(ms.float32)
        if inside is not None:
            inside = inside.reshape(x.shape[0], -1)
        return self.normalise(rows, self.weight, self.bias, inside).astype(x.dtype).reshape(x.shape)


class GroupNormalise(nn.Cell):
    """Group normalisation of `rows [n, L, C]` with weight and bias `[C]`, over what is `inside [n, L]` (None: all).

    Written out with its backward pass: what is kept for it is the input alone, and nothing is broadcast (on a CPU
    MindSpore's broadcasting keeps 16 bytes an element for good, and takes ten times as long as plain arithmetic).
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups, self.sums_natively = groups, backend.sums_natively()
        self.batch_matmul, self.add_bias = ops.BatchMatMul(), ops.BiasAdd()

    def construct(self, rows: Tensor, weight: Tensor, bias: Tensor, inside: Tensor | None) -> Tensor:
        n, length, channels = rows.shape
        table = sample_table(n, length, inside)
        centred = self.centre(rows, table, inside)
        scale = self.inverse_deviation(centred, inside)
        out = (centred * repeat_rows(scale * weight, table)).reshape(-1, channels)
        return self.add_bias(out, bias).reshape(n, length, channels)

    def bprop(
        self, rows: Tensor, weight: Tensor, bias: Tensor, inside: Tensor | None, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        # Tied to the incoming gradient, or the scheduler makes every layer's copy at once.
        rows = ops.depend(rows, dout)
        table = sample_table(rows.shape[0], rows.shape[1], inside)
        centred = self.centre(rows, table, inside)
        scale = self.inverse_deviation(centred, inside)
        # The gradient is zero at padding.
        dbias, dweight = self.sums(dout, None), self.sums(dout * centred, None)
        shift = -scale * self.group_mean(dbias * weight, rows.shape[1], inside)
        slope = -scale * scale * scale * self.group_mean(dweight * weight, rows.shape[1], inside)
        drows = dout * repeat_rows(scale * weight, table) + centred * repeat_rows(slope, table)
        drows = drows + repeat_rows(shift, table)
        return drows, (dweight * scale).sum(0), dbias.sum(0), None if inside is None else ops.zeros_like(inside)

    def centre(self, rows: Tensor, table: Tensor, inside: Tensor | None) -> Tensor:
        """Rows less their group's mean."""
        return rows - repeat_rows(self.group_mean(self.sums(rows, inside), rows.shape[1], inside), table)

    def inverse_deviation(self, centred: Tensor, inside: Tensor | None) -> Tensor:
        """1 / the deviation of every channel's group: `[n, L, C] -> [n, C]`."""
        variance = self.group_mean(self.sums(centred * centred, inside), centred.shape[1], inside)
        deviation = ops.sqrt(variance + 1e-5)
        return ops.ones(deviation.shape, deviation.dtype) / deviation  # "1 /" is a Reciprocal, which ONNX export lacks

    def sums(self, rows: Tensor, inside: Tensor | None) -> Tensor:
        """`[n, L, C]` summed over L; on a CPU as a matrix product, where reductions take several times as long."""
        if self.sums_natively:
            return (rows if inside is None else rows * inside.reshape(*inside.shape, 1)).sum(1)
        n, length, channels = rows.shape
        ones = ops.ones((n, 1, length), rows.dtype) if inside is None else inside.reshape(n, 1, length)
        return self.batch_matmul(ones, rows).reshape(n, channels)

    def group_mean(self, sums: Tensor, length: int, inside: Tensor | None) -> Tensor:
        """Sums over rows `[n, C]` to the mean over those and the channels of each group, at every channel."""
        n, channels = sums.shape
        if self.sums_natively:
            means = sums.reshape(n, self.groups, -1).mean(2, True)
            means = ops.tile(means, (1, 1, channels // self.groups)).reshape(n, channels)
        else:
            means = ops.matmul(sums, group_average_matrix(channels, self.groups))
        return means * (1.0 / length) if inside is None else means / inside.sum(1).reshape(-1, 1)


def sample_table(n: int, length: int, inside: Tensor | None) -> Tensor:
    """For `length` rows of each of n samples the sample's number, at padding n: int32 `[n * length]`."""
    if inside is None:
        return repeat_table(n, length)
    return inside.reshape(-1).astype(ms.int32) * (repeat_table(n, length) - n) + n


def repeat_rows(rows: Tensor, table: Tensor) -> Tensor:
    """Rows `[n, C]` as the table says, n for zeros: `[n, L, C]`; a gather, whose gradient is not worth its time."""
    n, channels = rows.shape
    rows = ops.concat((rows, ops.zeros((1, channels), rows.dtype)), 0)
    return ops.gather(rows, table, 0).reshape(n, -1, channels)


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis, computed in float32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = Parameter(np.ones(channels, np.float32), name="weight")
        self.bias = Parameter(np.zeros(channels, np.float32), name="bias")
        self.normalise = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=1e-5)

    def construct(self, x: Tensor) -> Tensor:
        return self.normalise(x.astype(ms.float32), self.weight, self.bias)[0].astype(x.dtype)
