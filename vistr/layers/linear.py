"""Fully connected layer."""

from __future__ import annotations

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from vistr.layers.conv import add_bias
from vistr.layers.parameters import normal, uniform


class Linear(nn.Cell):
    """`[..., I] -> [..., O]` with weight `[O, I]`, drawn by Xavier's rule or from N(0, `deviation`^2)."""

    def __init__(
        self, in_channels: int, out_channels: int, *, has_bias: bool = True, deviation: float | None = None
    ) -> None:
        super().__init__()
        shape = (out_channels, in_channels)
        if deviation is None:
            self.weight = uniform(shape, math.sqrt(6 / (in_channels + out_channels)), "weight")
        else:
            self.weight = normal(shape, deviation, "weight")
        self.has_bias = has_bias
        if has_bias:
            self.bias = Parameter(np.zeros(out_channels, np.float32), name="bias")
        self.matmul_nt = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor) -> Tensor:
        out = self.matmul_nt(x.reshape(-1, x.shape[-1]), self.weight.astype(x.dtype))
        if self.has_bias:
            out = add_bias(out, self.bias)
        return out.reshape(*x.shape[:-1], self.weight.shape[0])
