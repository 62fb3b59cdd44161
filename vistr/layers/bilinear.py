"""Bilinear reading of maps at computed positions, zero outside: what deformable layers share."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import constexpr

from vistr.runtime import backend


@constexpr
def last_cells(num_images: int, height: int, width: int) -> Tensor:
    """The last row of every image, then its last column: float32 `[2 * n, 1]`."""
    return Tensor(np.repeat(np.array([height - 1, width - 1], np.float32), num_images)[:, None])


class BilinearReading(nn.Cell):
    """The four pixels around every position, their weights, and the gradients of the positions.

    What lies outside an image weighs nothing; images end at their `sizes [n, 2]` (height, width) where those are given,
    before the array does. MindSpore's operators are made here as a backward pass of its own loses some that `ops` has.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broadcasts = backend.sums_natively()
        self.relu = ops.ReLU()  # what ops.relu compiles to is lost in a backward pass of its own
        self.bmm, self.bmm_nt = ops.BatchMatMul(), ops.BatchMatMul(transpose_b=True)
        self.bmm_tn = ops.BatchMatMul(transpose_a=True)

    def corners(
        self, position: Tensor, sizes: Tensor | None, starts: Tensor, size: tuple[int, int], step: int
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The row of a table of pixels at each corner, int32 `[n*m*4*p]`; weights of the low row and column and of
        the high ones, `[n, m, p]` each.

        `position [2 * n, m, p]` holds p rows for each of m readers in n images of `size` (height, width), then the
        columns. `starts [n, m, p]` is where an image's first pixel lies in the table, whose next pixel is `step` rows
        on. The last that is returned is 1 where the low row, low column, high row, high column is in the image, else 0.
        Rows and columns are computed as one: half as many operators.
        """
        height, width = size
        low = ops.floor(position)
        distance, last = position - low, self.last(position, sizes, height, width)
        split = ops.Split(0, 2)
        cells: tuple[Tensor, ...] = ()
        weights: tuple[Tensor, ...] = ()
        seen: tuple[Tensor, ...] = ()
        for high in range(2):
            cell = low + high if high else low
            nearest = ops.minimum(self.relu(cell), last)
            inside = ops.equal(nearest, cell).astype(position.dtype)
            weights = (*weights, *split((distance if high else 1 - distance) * inside))
            cells, seen = (*cells, *split(nearest.astype(ms.int32))), (*seen, *split(inside))
        tables: tuple[Tensor, ...] = ()
        for row in (cells[0], cells[2]):
            line = row * (width * step) + starts
            for column in (cells[1], cells[3]):
                tables = (*tables, line + column * step)
        return ops.concat(tables, 2).reshape(-1), weights, seen

    def last(self, position: Tensor, sizes: Tensor | None, height: int, width: int) -> Tensor:
        """The last row or column of every image, for `position [2 * n, m, p]`."""
        if sizes is None:
            ends = last_cells(position.shape[0] // 2, height, width)
        else:
            ends = ops.concat((sizes[:, :1], sizes[:, 1:]), 0) - 1
        if self.broadcasts:
            return ends.reshape(-1, 1, 1)
        return ops.matmul(ends, ops.ones((1, position.size // ends.size), ends.dtype)).reshape(position.shape)

    def corner_weights(self, weights: tuple[Tensor, ...]) -> Tensor:
        """Products of the rows' and columns' weights: `[n, m, 4 * p]`."""
        row0, column0, row1, column1 = weights
        return ops.concat((row0 * column0, row0 * column1, row1 * column0, row1 * column1), 2)

    def position_gradients(
        self, grad_weight: Tensor, weights: tuple[Tensor, ...], seen: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """The gradients of rows and columns, given those of the corners' weights `[n, m, 4 * p]`.

        A weight grows by 1 with the position where its cell is the high one, and falls where it is the low one.
        """
        row0, column0, row1, column1 = weights
        grad00, grad01, grad10, grad11 = ops.Split(2, 4)(grad_weight)
        seen_row0, seen_column0, seen_row1, seen_column1 = seen
        grad_row0, grad_row1 = grad00 * column0 + grad01 * column1, grad10 * column0 + grad11 * column1
        grad_column0, grad_column1 = grad00 * row0 + grad10 * row1, grad01 * row0 + grad11 * row1
        grad_y = grad_row1 * seen_row1 - grad_row0 * seen_row0
        return grad_y, grad_column1 * seen_column1 - grad_column0 * seen_column0
