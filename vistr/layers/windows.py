"""Attention within windows of a map (Swin, arXiv 2103.14030)."""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import constexpr

from vistr.layers.attention import ChunkedAttention
from vistr.layers.conv import add_bias
from vistr.layers.linear import Linear
from vistr.layers.parameters import normal
from vistr.layers.tables import num_chunks

# What the published network adds to the scores of pairs that only the roll made neighbours.
APART = -100.0


@constexpr
def relative_places(window: int) -> Tensor:
    """The row of the bias table for every pair of a window's positions: int32 `[(window * window)^2]`."""
    y, x = (axis.reshape(-1) for axis in np.indices((window, window)))
    rows = (y[:, None] - y + window - 1) * (2 * window - 1) + x[:, None] - x + window - 1
    return Tensor(rows.reshape(-1).astype(np.int32))


@constexpr
def apart(window: int, shift: int) -> Tensor:
    """What is added to a window's scores, by its kind: float32 `[4, 1, (window * window)^2]`.

    Kind 1 is a last window of its row, 2 of its column, 3 of both: they hold both ends of the picture.
    """
    y, x = (axis.reshape(-1) >= window - shift for axis in np.indices((window, window)))
    down, across = (side[:, None] != side for side in (y, x))
    kinds = np.stack([down & False, across, down, down | across])
    return Tensor(np.where(kinds, APART, 0).astype(np.float32).reshape(4, 1, -1))


class MoveRows(nn.Cell):
    """Rows `[R, C]` by a table, `num_zeros` rows of zeros behind them, whose gradient is read by the table `back`.

    No row is read twice but those zeros, so that the gradient is no sum.
    """

    def __init__(self, num_zeros: int) -> None:
        super().__init__()
        self.num_zeros = num_zeros

    def construct(self, rows: Tensor, table: Tensor, back: Tensor) -> Tensor:
        zeros = ops.zeros((self.num_zeros, rows.shape[1]), rows.dtype)
        return ops.gather(ops.concat((rows, zeros), 0), table, 0)

    def bprop(
        self, rows: Tensor, table: Tensor, back: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        zeros = ops.zeros((self.num_zeros, dout.shape[1]), dout.dtype)
        drows = ops.gather(ops.concat((dout, zeros), 0), back, 0)
        return drows, ops.zeros_like(table), ops.zeros_like(back)


class AttendInWindows(ChunkedAttention):
    """`softmax(q k^T + bias) v` of every head of every window, rows `[windows * heads * places, C / heads]`.

    `bias [heads, places^2]` is added with what keeps a shifted window's two ends apart; `kinds [windows * heads]` says
    which row of both. The weights are made a few windows at a time, and once more in the backward pass.
    """

    def __init__(self, num_heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.num_heads, self.window, self.shift = num_heads, window, shift
        self.places = window * window

    def construct(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, kinds: Tensor) -> Tensor:
        count, biases = self.count_chunks(kinds), self.biases(bias)
        split = ops.Split(0, count)
        qs, ks, vs, ns = split(q), split(k), split(v), split(kinds)
        parts: tuple[Tensor, ...] = ()  # a list would not export to ONNX
        for i in range(count):
            # One chunk after the other: the scheduler would hold the weights of all at once.
            rows = ops.depend(qs[i], parts[-1]) if parts else qs[i]
            weights = self.weights(self.by_head(rows), self.by_head(ks[i]), biases, ns[i])
            parts = (*parts, self.matmul(weights.astype(v.dtype), self.by_head(vs[i])).reshape(rows.shape))
        return parts[0] if count == 1 else ops.concat(parts, 0)

    def bprop(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, kinds: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        count, biases = self.count_chunks(kinds), self.biases(bias)
        split = ops.Split(0, count)
        qs, ks, vs, ns, ds = split(q), split(k), split(v), split(kinds), split(dout)
        dqs: tuple[Tensor, ...] = ()
        dks: tuple[Tensor, ...] = ()
        dvs: tuple[Tensor, ...] = ()
        dbias = ops.zeros_like(bias)
        for i in range(count):
            rows = ops.depend(qs[i], (dqs[-1], dks[-1], dbias) if dqs else ds[i])
            q_i, k_i, d_i = self.by_head(rows), self.by_head(ks[i]), self.by_head(ds[i])
            weights = self.weights(q_i, k_i, biases, ns[i])
            dvs = (*dvs, self.matmul_tn(weights.astype(d_i.dtype), d_i).reshape(rows.shape))
            dweights = self.matmul_nt(d_i, self.by_head(vs[i])).astype(ms.float32)
            dscores = self.scores_gradient(weights, dweights)
            dbias = dbias + self.sum_of_windows(dscores).reshape(bias.shape)
            dscores = dscores.astype(d_i.dtype)
            dqs = (*dqs, self.matmul(dscores, k_i).reshape(rows.shape))
            dks = (*dks, self.matmul_tn(dscores, q_i).reshape(rows.shape))
        if count == 1:
            return dqs[0], dks[0], dvs[0], dbias, ops.zeros_like(kinds)
        return ops.concat(dqs, 0), ops.concat(dks, 0), ops.concat(dvs, 0), dbias, ops.zeros_like(kinds)

    def count_chunks(self, kinds: Tensor) -> int:
        """How many parts the windows are taken in."""
        scores = self.num_heads * self.places * self.places
        return num_chunks(kinds.shape[0] // self.num_heads, scores, self.scores_a_chunk)  # type: ignore[no-any-return]

    def biases(self, bias: Tensor) -> Tensor:
        """What is added to scores, by kind and head: `[4 * heads, places^2]`."""
        return (apart(self.window, self.shift) + bias).reshape(4 * self.num_heads, -1)

    def by_head(self, rows: Tensor) -> Tensor:
        """`[n * places, C] -> [n, places, C]`."""
        return rows.reshape(-1, self.places, rows.shape[1])

    def weights(self, q: Tensor, k: Tensor, biases: Tensor, kinds: Tensor) -> Tensor:
        """Attention weights of some windows, float32 in every precision."""
        scores = self.matmul_nt(q, k).astype(ms.float32)
        # Gathered, as adding by broadcasting costs a CPU more than all else.
        return self.softmax(scores + ops.gather(biases, kinds, 0).reshape(scores.shape))

    def sum_of_windows(self, dscores: Tensor) -> Tensor:
        """`[windows * heads, places, places]` summed over windows."""
        by_window = dscores.reshape(-1, self.num_heads * self.places * self.places)
        if self.sums_natively:
            return by_window.sum(0)
        return ops.matmul(ops.ones((1, by_window.shape[0]), by_window.dtype), by_window)


class WindowAttention(nn.Cell):
    """Multi-head self-attention within windows `[R, C] -> [R, C]`, for rows of a map and its `window_tables`.

    Zeros that fill up a window take part as keys. Biases of keys do not: they move all scores of a query alike. That of
    values is added behind the attention, whose weights sum to one. So what is gathered for a missing row is zero.
    """

    def __init__(self, channels: int, num_heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.channels, self.width = channels, channels // num_heads
        self.scale = 1 / math.sqrt(self.width)
        shape = ((2 * window - 1) ** 2, num_heads)
        self.relative_position_bias_table = normal(shape, 0.02, "relative_position_bias_table")
        self.qkv = Linear(channels, 3 * channels, deviation=0.02)
        self.proj = Linear(channels, channels, deviation=0.02)
        self.window = window
        # One for each: MindSpore mixes up gradients of a cell with its own that is called twice.
        self.move_q, self.move_k, self.move_v = MoveRows(num_heads), MoveRows(num_heads), MoveRows(num_heads)
        self.move_back = MoveRows(num_heads)
        self.attend = AttendInWindows(num_heads, window, shift)
        self.matmul_nt = ops.MatMul(transpose_b=True)
        self.thirds = ops.Split(0, 3)

    def construct(self, x: Tensor, table: Tensor, back: Tensor, kinds: Tensor) -> Tensor:
        weights = self.thirds(self.qkv.weight.astype(x.dtype))
        biases = self.thirds(self.qkv.bias)
        q = add_bias(self.matmul_nt(x, weights[0]), biases[0]) * self.scale
        k, v = self.matmul_nt(x, weights[1]), self.matmul_nt(x, weights[2])
        q = self.move_q(q.reshape(-1, self.width), table, back)
        k = self.move_k(k.reshape(-1, self.width), table, back)
        v = self.move_v(v.reshape(-1, self.width), table, back)
        bias = ops.gather(self.relative_position_bias_table, relative_places(self.window), 0).transpose(1, 0)
        out = self.move_back(self.attend(q, k, v, bias, kinds), back, table)
        return self.proj(add_bias(out.reshape(-1, self.channels), biases[2]))
