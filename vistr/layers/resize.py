"""Resizing of channels-last images and of maps, by the sizes of the pictures in them."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, ops

from vistr.layers.padding import places
from vistr.layers.tables import bilinear_matrix, image_starts, nearest_table


def resize_nearest(
    x: Tensor, height: int, width: int, sizes: Tensor | None = None, new_sizes: Tensor | None = None
) -> Tensor:
    """Nearest-neighbour resize `[N, h, w, C] -> [N, height, width, C]`.

    Pictures of `sizes [N, 2]` become pictures of `new_sizes`, whatever is around them; None: they fill the arrays.
    """
    n, h, w, channels = x.shape
    if (h, w) == (height, width):
        return x
    if sizes is None or new_sizes is None:
        table = nearest_table(n, h, w, height, width)
    else:
        rows = nearest_places(sizes[:, :1], new_sizes[:, :1], height) * w + image_starts(n, h * w)
        columns = nearest_places(sizes[:, 1:], new_sizes[:, 1:], width)
        table = (rows.reshape(n, height, 1) + columns.reshape(n, 1, width)).reshape(-1)
    return ops.gather(x.reshape(-1, channels), table, 0).reshape(n, height, width, channels)


def nearest_places(size: Tensor, new_size: Tensor, length: int) -> Tensor:
    """The place that each of `length` places is read from: sizes `[n, 1]` to int32 `[n, length]`."""
    read = ops.floor(places(length) * (size / new_size))
    return ops.minimum(read, size - 1).astype(ms.int32)


def resize_bilinear(
    maps: Tensor, height: int, width: int, sizes: Tensor | None = None, new_sizes: Tensor | None = None
) -> Tensor:
    """Bilinear resize, corners not aligned, of maps `[N, h, w] -> [N, height, width]`: two matrix products.

    With sizes `[K, 2]`, of N / K maps each, as in `resize_nearest`.
    """
    n, h, w = maps.shape
    if sizes is None or new_sizes is None:
        wide = ops.matmul(maps.reshape(n * h, w), bilinear_matrix(w, width, True).astype(maps.dtype))
        rows = ops.tile(bilinear_matrix(h, height, False).reshape(1, height, h), (n, 1, 1)).astype(maps.dtype)
        return ops.bmm(rows, wide.reshape(n, h, width))
    k = sizes.shape[0]
    columns = bilinear_weights(sizes[:, 1:], new_sizes[:, 1:], w, width).astype(maps.dtype)
    rows = bilinear_weights(sizes[:, :1], new_sizes[:, :1], h, height).astype(maps.dtype)
    rows = ops.tile(rows.reshape(k, 1, height, h), (1, n // k, 1, 1)).reshape(n, height, h)
    wide = ops.BatchMatMul(transpose_b=True)(maps.reshape(k, -1, w), columns)
    return ops.bmm(rows, wide.reshape(n, h, width))


def bilinear_weights(size: Tensor, new_size: Tensor, length: int, new_length: int) -> Tensor:
    """Weights `[n, new_length, length]` of a bilinear resize along one axis, for sizes `[n, 1]`."""
    position = (places(new_length) + 0.5) * (size / new_size) - 0.5
    position = ops.minimum(ops.relu(position), size - 1).reshape(-1, new_length, 1)
    return ops.stop_gradient(ops.relu(1 - ops.abs(position - places(length).reshape(1, 1, length))))
