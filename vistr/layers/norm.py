"""Normalisation layers over channels-last tensors."""

from __future__ import annotations

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from vistr.layers.tables import group_average_matrix


class GroupNorm(nn.Cell):
    """Group normalisation of every sample of `[N, ..., C]` over its inner axes and each group's channels.

    Means are matrix products: on a CPU a reduction or a broadcast costs several times as much. `groups` is lowered
    to the largest count that divides the channels, so that narrow models work.
    """

    def __init__(self, groups: int, channels: int) -> None:
        super().__init__()
        self.groups = math.gcd(groups, channels)
        self.weight = Parameter(np.ones(channels, np.float32), name="weight")
        self.bias = Parameter(np.zeros(channels, np.float32), name="bias")
        self.batch_matmul = ops.BatchMatMul()

    def construct(self, x: Tensor) -> Tensor:
        n, channels = x.shape[0], x.shape[-1]
        rows = x.reshape(n, -1, channels)
        centred = rows - self.mean(rows)
        deviation = ops.sqrt(self.mean(centred * centred) + 1e-5)
        out = centred * (self.weight.astype(x.dtype) / deviation) + self.bias.astype(x.dtype)
        return out.reshape(x.shape)

    def mean(self, rows: Tensor) -> Tensor:
        n, length, channels = rows.shape
        ones = ops.ones((n, 1, length), rows.dtype) / length
        per_channel = self.batch_matmul(ones, rows).reshape(n, channels)
        per_group = ops.matmul(per_channel, group_average_matrix(channels, self.groups).astype(rows.dtype))
        return per_group.reshape(n, 1, channels)


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = Parameter(np.ones(channels, np.float32), name="weight")
        self.bias = Parameter(np.zeros(channels, np.float32), name="bias")
        self.normalise = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=1e-5)

    def construct(self, x: Tensor) -> Tensor:
        return self.normalise(x, self.weight.astype(x.dtype), self.bias.astype(x.dtype))[0]
