"""Resizing of channels-last images and of maps."""

from __future__ import annotations

from mindspore import Tensor, ops

from vistr.layers.tables import bilinear_matrix, nearest_table


def resize_nearest(x: Tensor, height: int, width: int) -> Tensor:
    """Nearest-neighbour resize `[N, h, w, C] -> [N, height, width, C]`."""
    n, h, w, channels = x.shape
    if (h, w) == (height, width):
        return x
    rows = ops.gather(x.reshape(-1, channels), nearest_table(n, h, w, height, width), 0)
    return rows.reshape(n, height, width, channels)


def resize_bilinear(maps: Tensor, height: int, width: int) -> Tensor:
    """Bilinear resize, corners not aligned, of maps `[N, h, w] -> [N, height, width]`: two matrix products."""
    n, h, w = maps.shape
    wide = ops.matmul(maps.reshape(n * h, w), bilinear_matrix(w, width, True).astype(maps.dtype))
    rows = ops.tile(bilinear_matrix(h, height, False).reshape(1, height, h), (n, 1, 1)).astype(maps.dtype)
    return ops.bmm(rows, wide.reshape(n, h, width))
