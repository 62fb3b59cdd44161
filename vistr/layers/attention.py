"""Multi-head attention with a key padding mask, whose memory does not grow with the number of layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from vistr.layers.conv import add_bias
from vistr.layers.dropout import factors
from vistr.layers.linear import Linear
from vistr.layers.parameters import uniform
from vistr.layers.tables import head_table, num_chunks
from vistr.runtime import backend


class MultiHeadAttention(nn.Cell):
    """Scaled dot-product attention `[B, Q, C], [B, K, C], [B, K, C] -> [B, Q, C]` (the paper's section 3.2).

    `key_padding_mask` is `[B, K]` with 0 where a key may be seen and a large negative number where it may not.
    """

    def __init__(self, channels: int, num_heads: int, site: int) -> None:
        super().__init__()
        self.channels = channels
        self.scale = 1 / math.sqrt(channels // num_heads)
        self.in_proj_weight = uniform((3 * channels, channels), math.sqrt(6 / (4 * channels)), "in_proj_weight")
        self.in_proj_bias = Parameter(np.zeros(3 * channels, np.float32), name="in_proj_bias")
        self.out_proj = Linear(channels, channels)
        self.attend = Attend(num_heads, None)
        self.attend_with_dropout = Attend(num_heads, site)
        self.matmul_nt = ops.MatMul(transpose_b=True)
        self.thirds = ops.Split(0, 3)

    def construct(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None, noise: Tensor | None
    ) -> Tensor:
        if key_padding_mask is None:
            key_padding_mask = ops.zeros(key.shape[:2], key.dtype)
        key_padding_mask = key_padding_mask.astype(key.dtype)
        # Split, not sliced: the gradient of every slice would be as large as the whole.
        weights = self.thirds(self.in_proj_weight.astype(key.dtype))
        biases = self.thirds(self.in_proj_bias)
        q = self.project(query, weights[0], biases[0]) * self.scale
        k, v = self.project(key, weights[1], biases[1]), self.project(value, weights[2], biases[2])
        if noise is None:
            return self.out_proj(self.attend(q, k, v, key_padding_mask, key_padding_mask))
        return self.out_proj(self.attend_with_dropout(q, k, v, key_padding_mask, noise))

    def project(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """One of the three input projections."""
        return add_bias(self.matmul_nt(x.reshape(-1, self.channels), weight), bias).reshape(x.shape)


class ChunkedAttention(nn.Cell):
    """Attention whose weights are made a chunk of heads or windows at a time: its operators, set up for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.scores_a_chunk = backend.limits().attention_scores
        self.sums_natively = backend.sums_natively()
        self.softmax, self.reduce_sum = ops.Softmax(-1), ops.ReduceSum(keep_dims=True)
        self.matmul_nt = ops.BatchMatMul(transpose_b=True)
        self.matmul = ops.BatchMatMul()
        self.matmul_tn = ops.BatchMatMul(transpose_a=True)

    def scores_gradient(self, weights: Tensor, dweights: Tensor) -> Tensor:
        """The gradient of the scores `[n, Q, K]`, from their softmax and its gradient."""
        return weights * (dweights - self.row_sums(weights * dweights))

    def row_sums(self, x: Tensor) -> Tensor:
        """Sums over the last axis of `[n, Q, K]`, to be taken from all of its elements."""
        if self.sums_natively:
            return self.reduce_sum(x, -1)
        n, _, length = x.shape
        sums = self.matmul(x, ops.ones((n, length, 1), x.dtype))
        return self.matmul(sums, ops.ones((n, 1, length), x.dtype))


class Attend(ChunkedAttention):
    """`softmax(q k^T + key_padding_mask) v` of every head: `[B, Q, C], [B, K, C], [B, K, C], [B, K] -> [B, Q, C]`.

    The weights `[B, heads, Q, K]` are made a few heads at a time, and once more in the backward pass, so that they are
    never all in memory. `key_padding_mask` enters the scores as one more channel: adding it by broadcasting costs
    more than the product itself. With `site` the weights drop out by `noise`; without it `noise` is not looked at.
    """

    def __init__(self, num_heads: int, site: int | None) -> None:
        super().__init__()
        self.num_heads, self.site = num_heads, site

    def construct(self, q: Tensor, k: Tensor, v: Tensor, key_padding_mask: Tensor, noise: Tensor) -> Tensor:
        batch, num_queries, channels = q.shape
        q, k, v = (
            self.split(q, 1, key_padding_mask),
            self.split(k, 2, key_padding_mask),
            self.split(v, 0, key_padding_mask),
        )
        parts: tuple[Tensor, ...] = ()  # a list would not export to ONNX
        count = num_chunks(batch * self.num_heads, num_queries * k.shape[1], self.scores_a_chunk)
        split = ops.Split(0, count)
        qs, ks, vs = split(q), split(k), split(v)
        for i in range(count):
            # One chunk after the other: the scheduler would hold the weights of all at once.
            rows = ops.depend(qs[i], parts[-1]) if parts else qs[i]
            weights = self.weights(rows, ks[i])
            dropped = self.dropped(weights, noise, i * weights.shape[0]).astype(v.dtype)
            parts = (*parts, self.matmul(dropped, vs[i]))
        return self.merge(parts, batch, num_queries, channels)

    def bprop(
        self, q: Tensor, k: Tensor, v: Tensor, key_padding_mask: Tensor, noise: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        batch, num_queries, channels = q.shape
        num_keys = k.shape[1]
        k_plain, v_plain = self.split(k, 0, key_padding_mask), self.split(v, 0, key_padding_mask)
        q_plain, dout_heads = self.split(q, 0, key_padding_mask), self.split(dout, 0, key_padding_mask)
        q_wide, k_wide = self.split(q, 1, key_padding_mask), self.split(k, 2, key_padding_mask)
        dqs: list[Tensor] = []
        dks: list[Tensor] = []
        dvs: list[Tensor] = []
        count = num_chunks(batch * self.num_heads, num_queries * num_keys, self.scores_a_chunk)
        split = ops.Split(0, count)
        k_plains, v_plains, q_plains = split(k_plain), split(v_plain), split(q_plain)
        q_wides, k_wides, douts = split(q_wide), split(k_wide), split(dout_heads)
        for i in range(count):
            d = douts[i]
            start = i * d.shape[0]
            rows = ops.depend(q_wides[i], (dqs[-1], dks[-1]) if dqs else d)
            weights = self.weights(rows, k_wides[i])
            dvs.append(self.matmul_tn(self.dropped(weights, noise, start).astype(d.dtype), d))
            # The difference first: the two are close, and their products with the weights would round apart.
            dweights = self.dropped(self.matmul_nt(d, v_plains[i]).astype(ms.float32), noise, start)
            dscores = self.scores_gradient(weights, dweights).astype(d.dtype)
            dqs.append(self.matmul(dscores, k_plains[i]))
            dks.append(self.matmul_tn(dscores, q_plains[i]))
        dq = self.merge(dqs, batch, num_queries, channels)
        dk, dv = self.merge(dks, batch, num_keys, channels), self.merge(dvs, batch, num_keys, channels)
        return dq, dk, dv, ops.zeros_like(key_padding_mask), ops.zeros_like(noise)

    def weights(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Attention weights of some heads, float32 in every precision: thousands of keys share a sum of one."""
        return self.softmax(self.matmul_nt(queries, keys).astype(ms.float32))

    def split(self, x: Tensor, extra: int, key_padding_mask: Tensor) -> Tensor:
        """`[B, L, C] -> [B * heads, L, C / heads]`, with 1 (`extra` 1) or the mask (2) as one more channel."""
        batch, length, channels = x.shape
        rows = ops.gather(x.reshape(-1, channels // self.num_heads), head_table(batch, length, self.num_heads), 0)
        heads = rows.reshape(batch * self.num_heads, length, channels // self.num_heads)
        if extra == 1:
            return ops.concat((heads, ops.ones((batch * self.num_heads, length, 1), x.dtype)), 2)
        if extra == 2:
            per_head = ops.tile(key_padding_mask.reshape(batch, 1, length, 1), (1, self.num_heads, 1, 1))
            return ops.concat((heads, per_head.reshape(-1, length, 1)), 2)
        return heads

    def merge(self, parts: Sequence[Tensor], batch: int, length: int, channels: int) -> Tensor:
        """Chunks of heads `[n, L, C / heads]` to `[B, L, C]`."""
        heads = parts[0] if len(parts) == 1 else ops.concat(parts, 0)
        rows = ops.gather(heads.reshape(-1, heads.shape[-1]), head_table(batch, self.num_heads, length), 0)
        return rows.reshape(batch, length, channels)

    def dropped(self, weights: Tensor, noise: Tensor, start: int) -> Tensor:
        """The weights of the heads from `start` on after dropout."""
        if self.site is None:
            return weights
        return weights * factors(noise, self.site, start, weights.size, weights).reshape(weights.shape).astype(
            weights.dtype
        )
