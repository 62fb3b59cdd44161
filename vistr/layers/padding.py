"""Where pictures end and padding, below them and at their right, begins: what keeps layers from seeing it.

Sizes are float32 `[n, 2]`, the (height, width) of each of n pictures; "inside" is float32 `[n, h, w]`, 1 where the
picture is and 0 at padding. Both are None where pictures fill their arrays. Every layer that reads more than one
position takes what is outside for zeros, or leaves it out, as if the array ended with the picture; so the gradients
there are zero, and layers that read one position need not know.
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from mindspore.ops import constexpr


@constexpr
def places(length: int) -> Tensor:
    """0, 1, ... as float32 `[1, length]`."""
    return Tensor(np.arange(length, dtype=np.float32)[None])


@constexpr
def rows_or_last(num_rows: int) -> tuple[Tensor, Tensor]:
    """For rows and one more: every row's number less the last's, and the last's; int32 `[num_rows + 1]` each."""
    last = np.full(num_rows + 1, num_rows, np.int32)
    return Tensor(np.arange(num_rows + 1, dtype=np.int32) - last), Tensor(last)


def sizes_at(sizes: Tensor | None, stride: int) -> Tensor | None:
    """The sizes of pictures in a map of that stride: as convolutions have it, a stride begun counts."""
    return None if sizes is None else ops.floor((sizes + (stride - 1)) / stride)


def sizes_in(key_padding_mask: Tensor) -> Tensor:
    """The sizes of pictures in maps whose `key_padding_mask [n, h, w]` is 0 where pictures are."""
    inside = ops.relu(key_padding_mask.astype(ms.float32) + 1)  # comparing with 0 does not export to ONNX
    sizes = (inside[:, :, 0].sum(1).reshape(-1, 1), inside[:, 0, :].sum(1).reshape(-1, 1))
    return ops.stop_gradient(ops.concat(sizes, 1))


def inside_of(sizes: Tensor | None, height: int, width: int) -> Tensor | None:
    """1 where pictures of those sizes are in arrays `[n, height, width]`."""
    if sizes is None:
        return None
    rows = ops.less(places(height), sizes[:, :1]).astype(ms.float32)
    columns = ops.less(places(width), sizes[:, 1:]).astype(ms.float32)
    return ops.stop_gradient(ops.bmm(rows.reshape(-1, height, 1), columns.reshape(-1, 1, width)))


def rows_inside(inside: Tensor) -> Tensor:
    """Of the rows of a map and a zero row behind them: their own number, at padding the zero row's; int32."""
    kept = ops.concat((inside.reshape(-1), ops.zeros((1,), inside.dtype)), 0).astype(ms.int32)
    less_last, last = rows_or_last(inside.size)
    return kept * less_last + last


def table_inside(table: Tensor, inside: Tensor | None) -> Tensor:
    """A table of rows of a map with a zero row behind them, which finds the zero row in place of padding."""
    return table if inside is None else ops.gather(rows_inside(inside), table, 0)


def masked(x: Tensor, inside: Tensor | None) -> Tensor:
    """The maps `[n, h, w, C]` with zeros at padding; a product, for devices that broadcast well."""
    return x if inside is None else x * inside.reshape(*inside.shape, 1).astype(x.dtype)
