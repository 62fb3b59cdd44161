"""Normalisation layers over channels-last tensors."""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from vistr.layers.tables import group_average_matrix, repeat_table
from vistr.runtime import backend


class GroupNorm(nn.Cell):
    """Group normalisation of every sample of `[N, ..., C]` over its inner axes and each group's channels.

    `groups` is lowered to the largest count that divides the channels, so that narrow models work. What `inside`, of
    N times the inner axes, says is padding counts for nothing. Computed in float32.
    """

    def __init__(self, groups: int, channels: int) -> None:
        super().__init__()
        self.weight = Parameter(np.ones(channels, np.float32), name="weight")
        self.bias = Parameter(np.zeros(channels, np.float32), name="bias")
        self.natively, groups = backend.sums_natively(), math.gcd(groups, channels)
        self.normalise = BroadcastNormalise(groups) if self.natively else GroupNormalise(groups)

    def construct(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        rows = x.reshape(x.shape[0], -1, x.shape[-1]).astype(ms.float32)
        if inside is not None:
            inside = inside.reshape(x.shape[0], -1)
        out = self.normalise(rows, self.weight, self.bias, inside)
        return (out[0] if self.natively else out).astype(x.dtype).reshape(x.shape)


class GroupNormalise(nn.Cell):
    """Group normalisation of `rows [n, L, C]` with weight and bias `[C]`, over what is `inside [n, L]` (None: all).

    Written out with its backward pass: what is kept for it is the input alone, and nothing is broadcast (on a CPU
    MindSpore's broadcasting keeps 16 bytes an element for good, and takes ten times as long as plain arithmetic).
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups
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
        """`[n, L, C]` summed over L, as a matrix product, as reductions take several times as long on a CPU."""
        n, length, channels = rows.shape
        ones = ops.ones((n, 1, length), rows.dtype) if inside is None else inside.reshape(n, 1, length)
        return self.batch_matmul(ones, rows).reshape(n, channels)

    def group_mean(self, sums: Tensor, length: int, inside: Tensor | None) -> Tensor:
        """Sums over rows `[n, C]` to the mean over those and the channels of each group, at every channel."""
        means = ops.matmul(sums, group_average_matrix(sums.shape[1], self.groups))
        return means * (1.0 / length) if inside is None else means / inside.sum(1).reshape(-1, 1)


class BroadcastNormalise(nn.Cell):
    """The same for devices that broadcast and reduce well, in as few kernels as that takes.

    Returns the mean and 1 / the deviation of every group beside, `[n, 1, groups, 1]`, for the backward pass to read.
    Arrays are `[n, L, groups, channels of a group]`, or have ones in place of some of those.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def construct(
        self, rows: Tensor, weight: Tensor, bias: Tensor, inside: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        by_group, count = self.by_group(rows), self.count(rows, inside)
        mean = self.sums(masked_rows(by_group, inside)) / count
        centred = masked_rows(by_group - mean, inside)
        scale = ops.rsqrt(self.sums(centred * centred) / count + 1e-5)
        out = centred * (scale * self.by_group(weight)) + self.by_group(bias)
        return out.reshape(rows.shape), mean, scale

    def bprop(
        self,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor,
        inside: Tensor | None,
        out: tuple[Tensor, Tensor, Tensor],
        dout: tuple[Tensor, Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        dnormal, factors = self.by_group(dout[0]), self.by_group(weight)
        _, mean, scale = out
        # Tied to the incoming gradient, or the scheduler makes every layer's copy at once.
        centred = masked_rows(self.by_group(ops.depend(rows, dout[0])) - mean, inside)
        # The gradient is zero at padding.
        dbias, dweight = dnormal.sum(1, keepdims=True), (dnormal * centred).sum(1, keepdims=True) * scale
        count = self.count(rows, inside)
        shift = (dbias * factors).sum(3, keepdims=True) / count
        slope = (dweight * factors).sum(3, keepdims=True) * scale / count
        drows = (dnormal * factors - masked_rows(centred * slope + shift, inside)) * scale
        no_gradient = None if inside is None else ops.zeros_like(inside)
        return drows.reshape(rows.shape), dweight.sum(0).reshape(-1), dbias.sum(0).reshape(-1), no_gradient

    def count(self, rows: Tensor, inside: Tensor | None) -> Tensor | float:
        """Of how many values every group's mean is."""
        width = rows.shape[2] // self.groups
        return rows.shape[1] * width if inside is None else (inside.sum(1) * width).reshape(-1, 1, 1, 1)

    def sums(self, rows: Tensor) -> Tensor:
        """Over rows and a group's channels; one after the other, as MindSpore transposes for both at once."""
        return rows.sum(1, keepdims=True).sum(3, keepdims=True)

    def by_group(self, values: Tensor) -> Tensor:
        """`[n, L, C]` or `[C]` with the channels parted by groups."""
        return values.reshape(*(values.shape[:-1] or (1, 1)), self.groups, -1)


def masked_rows(rows: Tensor, inside: Tensor | None) -> Tensor:
    """`[n, L, ...]` with zeros where `inside [n, L]` says padding."""
    return rows if inside is None else rows * inside.reshape(*inside.shape, 1, 1)


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
