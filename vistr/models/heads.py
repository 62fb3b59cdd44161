"""Class and box heads over the decoder's states."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from vistr.layers.linear import Linear


class BoxHead(nn.Cell):
    """Three-layer perceptron `[..., C] -> [..., 4]`: boxes as (cx, cy, w, h) in [0, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.CellList([Linear(channels, channels), Linear(channels, channels), Linear(channels, 4)])

    def construct(self, x: Tensor) -> Tensor:
        x = ops.relu(self.layers[1](ops.relu(self.layers[0](x))))
        return ops.sigmoid(self.layers[2](x))
