"""VisTR's transformer with a deformable encoder (arXiv 2203.06318)."""

from __future__ import annotations

from typing import Any

from mindspore import Tensor

from vistr.layers.deformable_attention import DeformableAttention
from vistr.layers.padding import sizes_in
from vistr.models.transformer import EncoderLayer, VisTRTransformer


class DeformableEncoderLayer(EncoderLayer):
    """An encoder layer over maps `[B, T, h, w, C]`, which is told the pictures' sizes `[B*T, 2]` in them."""

    def attend(self, x: Tensor, position: Tensor, sizes: Tensor, noise: Tensor | None) -> Tensor:
        return self.self_attn(x + position, x, sizes)


class DeformableTransformer(VisTRTransformer):
    """VisTR's, whose encoder reads a few points around every token; the decoder is VisTR's."""

    def encoder_layer(self, settings: Any, site: int) -> EncoderLayer:
        """A layer of the encoder, its dropout numbered from `site` on."""
        channels, points = settings.hidden_dim, (settings.num_points, settings.temporal_points)
        attention = DeformableAttention(channels, settings.num_heads, *points, settings.temporal_window)
        return DeformableEncoderLayer(attention, channels, settings.feedforward_dim, settings.pre_norm, site)

    def encode(self, maps: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None) -> Tensor:
        """The encoder's tokens `[B, L, C]`."""
        sizes = sizes_in(key_padding_mask.reshape(-1, maps.shape[2], maps.shape[3]))
        return self.encoder(maps, position.reshape(maps.shape), sizes, noise).reshape(position.shape)
