"""Encoder over all tokens of a clip and decoder over its instance queries (the paper's section 3.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from vistr.layers.attention import MultiHeadAttention
from vistr.layers.dropout import Dropout
from vistr.layers.linear import Linear
from vistr.layers.norm import LayerNorm
from vistr.models.settings import Detr, Transformer

SITES_A_LAYER = 8


class EncoderLayer(nn.Cell):
    """Self-attention and feed-forward network over `[B, L, C]`; position enters queries and keys only."""

    def __init__(self, attention: nn.Cell, channels: int, feedforward: int, pre_norm: bool, site: int) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.self_attn = attention
        self.linear1 = Linear(channels, feedforward)
        self.linear2 = Linear(feedforward, channels)
        self.norm1, self.norm2 = LayerNorm(channels), LayerNorm(channels)
        self.dropout1, self.dropout2, self.dropout3 = Dropout(site + 1), Dropout(site + 2), Dropout(site + 3)

    def construct(self, x: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None) -> Tensor:
        if self.pre_norm:
            x = x + self.dropout1(self.attend(self.norm1(x), position, key_padding_mask, noise), noise)
            return x + self.dropout3(self.feed_forward(self.norm2(x), noise), noise)
        x = self.norm1(x + self.dropout1(self.attend(x, position, key_padding_mask, noise), noise))
        return self.norm2(x + self.dropout3(self.feed_forward(x, noise), noise))

    def attend(self, x: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None) -> Tensor:
        placed = x + position
        return self.self_attn(placed, placed, x, key_padding_mask, noise)

    def feed_forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        return self.linear2(self.dropout2(ops.relu(self.linear1(x)), noise))


class DecoderLayer(nn.Cell):
    """Self-attention of the queries, attention to the encoder's memory, and feed-forward network."""

    def __init__(self, channels: int, num_heads: int, feedforward: int, pre_norm: bool, site: int) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.self_attn = MultiHeadAttention(channels, num_heads, site)
        self.multihead_attn = MultiHeadAttention(channels, num_heads, site + 1)
        self.linear1 = Linear(channels, feedforward)
        self.linear2 = Linear(feedforward, channels)
        self.norm1, self.norm2, self.norm3 = LayerNorm(channels), LayerNorm(channels), LayerNorm(channels)
        self.dropout1, self.dropout2 = Dropout(site + 2), Dropout(site + 3)
        self.dropout3, self.dropout4 = Dropout(site + 4), Dropout(site + 5)

    def construct(
        self,
        x: Tensor,
        query: Tensor,
        memory: Tensor,
        placed_memory: Tensor,
        key_padding_mask: Tensor,
        noise: Tensor | None,
    ) -> Tensor:
        if self.pre_norm:
            x = x + self.dropout1(self.attend_queries(self.norm1(x), query, noise), noise)
            seen = self.multihead_attn(self.norm2(x) + query, placed_memory, memory, key_padding_mask, noise)
            x = x + self.dropout2(seen, noise)
            return x + self.dropout4(self.feed_forward(self.norm3(x), noise), noise)
        x = self.norm1(x + self.dropout1(self.attend_queries(x, query, noise), noise))
        seen = self.multihead_attn(x + query, placed_memory, memory, key_padding_mask, noise)
        x = self.norm2(x + self.dropout2(seen, noise))
        return self.norm3(x + self.dropout4(self.feed_forward(x, noise), noise))

    def attend_queries(self, x: Tensor, query: Tensor, noise: Tensor | None) -> Tensor:
        placed = x + query
        return self.self_attn(placed, placed, x, None, noise)

    def feed_forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        return self.linear2(self.dropout3(ops.relu(self.linear1(x)), noise))


class Encoder(nn.Cell):
    """A stack of encoder layers."""

    def __init__(self, layers: list[EncoderLayer], norm: LayerNorm | None) -> None:
        super().__init__()
        self.layers = nn.CellList(layers)
        self.norm = norm

    def construct(self, x: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, position, key_padding_mask, noise)
        return x if self.norm is None else self.norm(x)


class Decoder(nn.Cell):
    """A stack of decoder layers, every one's normalised output kept."""

    def __init__(self, layers: list[DecoderLayer], norm: LayerNorm) -> None:
        super().__init__()
        self.layers = nn.CellList(layers)
        self.norm = norm

    def construct(
        self, query: Tensor, memory: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None
    ) -> Tensor:
        x = ops.zeros_like(query)
        placed_memory = memory + position
        outputs: tuple[Tensor, ...] = ()  # lists do not export to ONNX, nor does stacking
        for layer in self.layers:
            x = layer(x, query, memory, placed_memory, key_padding_mask, noise)
            outputs = (*outputs, ops.expand_dims(self.norm(x), 0))
        return ops.concat(outputs, 0)


class VisTRTransformer(nn.Cell):
    """Maps `[B, T, h, w, C]` and queries `[Q, C]` to decoder states `[layers, B, Q, C]` and memory `[B, T, h, w, C]`.

    Token order is (frame, row, column); `key_padding_mask [B, L]` is 0 or, at padding, a large negative number.
    """

    def __init__(self, settings: Transformer, recompute: bool = False) -> None:
        super().__init__()
        hidden_dim, pre_norm, first = settings.hidden_dim, settings.pre_norm, settings.num_encoder_layers
        sizes = (hidden_dim, settings.num_heads, settings.feedforward_dim, pre_norm)
        encoder = [self.encoder_layer(settings, SITES_A_LAYER * i) for i in range(first)]
        decoder = [DecoderLayer(*sizes, SITES_A_LAYER * (first + i)) for i in range(settings.num_decoder_layers)]
        if recompute:
            layers: list[nn.Cell] = [*encoder, *decoder]
            for layer in layers:
                layer.recompute()
        self.encoder = Encoder(encoder, LayerNorm(hidden_dim) if pre_norm else None)
        self.decoder = Decoder(decoder, LayerNorm(hidden_dim))

    def construct(
        self, maps: Tensor, query: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        position = self.with_frames(position)
        memory = self.encode(maps, position, key_padding_mask, noise)
        queries = ops.tile(query.reshape(1, *query.shape), (maps.shape[0], 1, 1))
        return self.decoder(queries, memory, position, key_padding_mask, noise), memory.reshape(maps.shape)

    def encoder_layer(self, settings: Any, site: int) -> EncoderLayer:
        """A layer of the encoder, its dropout numbered from `site` on."""
        channels, heads = settings.hidden_dim, settings.num_heads
        attention = MultiHeadAttention(channels, heads, site)
        return EncoderLayer(attention, channels, settings.feedforward_dim, settings.pre_norm, site)

    def encode(self, maps: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None) -> Tensor:
        """The encoder's tokens `[B, L, C]`."""
        return self.encoder(maps.reshape(position.shape), position, key_padding_mask, noise)

    def with_frames(self, position: Tensor) -> Tensor:
        """The position code `[B, L, C]`, which covers frames already."""
        return position


class DetrTransformer(VisTRTransformer):
    """The same with a learned vector for each frame, `temporal_embed [T, C]`, added to the position code."""

    def __init__(self, settings: Detr, num_frames: int, recompute: bool = False) -> None:
        super().__init__(settings, recompute)
        self.temporal_embed = Parameter(np.zeros((num_frames, settings.hidden_dim), np.float32), name="temporal_embed")

    def with_frames(self, position: Tensor) -> Tensor:
        """The position code `[B, L, C]` with every frame's vector added to its places."""
        num_frames, channels = self.temporal_embed.shape
        frames = self.temporal_embed.astype(position.dtype).reshape(1, num_frames, 1, channels)
        by_frame = position.reshape(position.shape[0], num_frames, -1, channels)
        return (by_frame + frames).reshape(position.shape)
