"""Fully connected layer."""

from __future__ import annotations

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from vistr.layers.conv import add_bias
from vistr.layers.parameters import uniform


class Linear(nn.Cell):
    """`[..., I] -> [..., O]` with weight `[O, I]`, drawn by Xavier's rule."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = uniform((out_channels, in_channels), math.sqrt(6 / (in_channels + out_channels)), "weight")
        self.bias = Parameter(np.zeros(out_channels, np.float32), name="bias")
        self.matmul_nt = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor) -> Tensor:
        out = self.matmul_nt(x.reshape(-1, x.shape[-1]), self.weight.astype(x.dtype))
        return add_bias(out, self.bias).reshape(*x.shape[:-1], self.weight.shape[0])
