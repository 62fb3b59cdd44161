"""Where the rows of a map lie in its windows (Swin, arXiv 2103.14030), and those of the windows in the map.

The published network pads every map with zeros, below and at the right, to whole windows; the shifted ones are those of
the map rolled round. Here both happen by tables of rows, made of the pictures' own sizes: a picture's windows are those
of the picture alone, whatever it is padded to and whatever else is in the batch.
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from mindspore.ops import constexpr

from vistr.layers.padding import places
from vistr.layers.tables import image_starts


@constexpr
def heads_of(num_heads: int) -> Tensor:
    """0, 1, ... as int32 `[1, heads, 1]`."""
    return Tensor(np.arange(num_heads, dtype=np.int32)[None, :, None])


def whole_windows(size: Tensor, window: int) -> Tensor:
    """How many windows cover lengths `[n, 1]`; a window begun counts."""
    return ops.floor((size + (window - 1)) / window)


def axis_sources(size: Tensor, length: int, window: int, shift: int) -> tuple[Tensor, Tensor, Tensor]:
    """Along an axis, for every place within the windows: where it is read, whether the picture is there, and for every
    window whether it is the picture's last; int32 `[n, windows, window]` twice and `[n, windows]`."""
    count = -(-length // window)
    num_windows = whole_windows(size, window)
    place = places(count * window)
    moved = place + shift
    moved = moved - ops.greater_equal(moved, num_windows * window).astype(ms.float32) * (num_windows * window)
    inside = ops.less(place, num_windows * window).astype(ms.float32) * ops.less(moved, size).astype(ms.float32)
    last = ops.equal(places(count), num_windows - 1)
    shape = (-1, count, window)
    return (
        (moved * inside).astype(ms.int32).reshape(shape),
        inside.astype(ms.int32).reshape(shape),
        last.astype(ms.int32),
    )


def axis_targets(size: Tensor, length: int, window: int, shift: int) -> tuple[Tensor, Tensor, Tensor]:
    """Along an axis, for every place: its window, its place in there, and whether the picture is there; int32
    `[n, length]` each."""
    place = places(length)
    moved = place - shift + ops.less(place, shift).astype(ms.float32) * (whole_windows(size, window) * window)
    number = ops.floor((moved + 0.5) / window)
    return number.astype(ms.int32), (moved - number * window).astype(ms.int32), ops.less(place, size).astype(ms.int32)


def window_tables(
    sizes: Tensor, height: int, width: int, window: int, shift: int, num_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Tables between a map's rows (image, y, x, head) and those of its windows (image, window, head, place), int32.

    The map's row of every row of the windows, the windows' row of every row of the map, and the bias (kind, head) of
    every head of the windows. Pictures are of `sizes [n, 2]` in arrays of `height` x `width`. Where there is no
    picture a table finds the rows behind all: zeros.
    """
    n, head = sizes.shape[0], heads_of(num_heads)
    y, y_inside, y_last = axis_sources(sizes[:, :1], height, window, shift)
    x, x_inside, x_last = axis_sources(sizes[:, 1:], width, window, shift)
    down, across, behind = y.shape[1], x.shape[1], n * height * width
    y = y * width + image_starts(n, height * width).reshape(n, 1, 1)
    rows = y.reshape(n, down, 1, window, 1) + x.reshape(n, 1, across, 1, window)
    inside = y_inside.reshape(n, down, 1, window, 1) * x_inside.reshape(n, 1, across, 1, window)
    rows = ((rows - behind) * inside + behind).reshape(-1, 1, window * window)
    kinds = (2 * y_last.reshape(n, down, 1) + x_last.reshape(n, 1, across)).reshape(-1, 1, 1)
    back = rows_of_windows(sizes, height, width, window, shift, num_heads)
    return (rows * num_heads + head).reshape(-1), back, (kinds * num_heads + head).reshape(-1)


def rows_of_windows(sizes: Tensor, height: int, width: int, window: int, shift: int, num_heads: int) -> Tensor:
    """The second of `window_tables`."""
    n, a_head = sizes.shape[0], window * window
    down, across, a_window = -(-height // window), -(-width // window), num_heads * a_head
    behind = n * down * across * a_window
    y_window, y_place, y_inside = axis_targets(sizes[:, :1], height, window, shift)
    x_window, x_place, x_inside = axis_targets(sizes[:, 1:], width, window, shift)
    y = y_window * (across * a_window) + y_place * window + image_starts(n, down * across * a_window)
    x = x_window * a_window + x_place
    inside = y_inside.reshape(n, height, 1) * x_inside.reshape(n, 1, width)
    first = ((y.reshape(n, height, 1) + x.reshape(n, 1, width) - behind) * inside + behind).reshape(-1, 1)
    return (first + (inside * a_head).reshape(-1, 1) * heads_of(num_heads).reshape(1, -1)).reshape(-1)
