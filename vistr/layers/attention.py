"""Multi-head attention with a key padding mask."""

from __future__ import annotations

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from vistr.layers.conv import add_bias, uniform
from vistr.layers.dropout import Dropout
from vistr.layers.linear import Linear


class MultiHeadAttention(nn.Cell):
    """Scaled dot-product attention `[B, Q, C], [B, K, C], [B, K, C] -> [B, Q, C]` (the paper's section 3.2).

    `blocked` is `[B, K]` with 0 where a key may be seen and a large negative number where it may not. It enters the
    scores as one more channel of queries and keys: adding it by broadcasting costs more than the product itself.
    """

    def __init__(self, channels: int, num_heads: int, site: int) -> None:
        super().__init__()
        self.channels, self.num_heads = channels, num_heads
        self.scale = 1 / math.sqrt(channels // num_heads)
        self.in_proj_weight = uniform((3 * channels, channels), math.sqrt(6 / (4 * channels)), "in_proj_weight")
        self.in_proj_bias = Parameter(np.zeros(3 * channels, np.float32), name="in_proj_bias")
        self.out_proj = Linear(channels, channels)
        self.dropout = Dropout(site)
        self.rows_by_columns = ops.MatMul(transpose_b=True)
        self.queries_by_keys = ops.BatchMatMul(transpose_b=True)
        self.scores_by_values = ops.BatchMatMul()

    def construct(
        self, query: Tensor, key: Tensor, value: Tensor, blocked: Tensor | None, noise: Tensor | None
    ) -> Tensor:
        batch, num_queries, _ = query.shape
        q = self.project(query, 0) * self.scale
        k = self.project(key, 1)
        if blocked is not None:
            keys = key.shape[1]
            per_head = ops.tile(blocked.reshape(batch, 1, keys, 1).astype(k.dtype), (1, self.num_heads, 1, 1))
            k = ops.concat((k, per_head.reshape(-1, keys, 1)), 2)
            q = ops.concat((q, ops.ones((q.shape[0], num_queries, 1), q.dtype)), 2)
        weights = self.dropout(ops.softmax(self.queries_by_keys(q, k), -1), noise)
        out = self.scores_by_values(weights, self.project(value, 2))
        out = out.reshape(batch, self.num_heads, num_queries, -1).transpose(0, 2, 1, 3)
        return self.out_proj(out.reshape(batch, num_queries, self.channels))

    def project(self, x: Tensor, part: int) -> Tensor:
        """One of the three input projections, split into heads: `[B, L, C] -> [B * heads, L, C / heads]`."""
        batch, length, channels = x.shape
        weight = self.in_proj_weight[part * channels : (part + 1) * channels].astype(x.dtype)
        bias = self.in_proj_bias[part * channels : (part + 1) * channels]
        rows = add_bias(self.rows_by_columns(x.reshape(-1, channels), weight), bias)
        heads = rows.reshape(batch, length, self.num_heads, -1).transpose(0, 2, 1, 3)
        return heads.reshape(batch * self.num_heads, length, -1)
