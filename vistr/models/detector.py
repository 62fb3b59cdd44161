"""From feature maps to logits and boxes of every query: transformer and heads, with the backbone before them."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from vistr.layers.conv import Conv2d
from vistr.layers.linear import Linear
from vistr.layers.parameters import normal
from vistr.models.backbone_contract import BackboneCell
from vistr.models.heads import BoxHead
from vistr.models.settings import TransformerCell


class Detector(nn.Cell):
    """VisTR without its masks; `num_queries` is num_frames * num_instances, frame by frame.

    Calling it runs what follows the backbone, which takes frames of any number at a time.
    """

    def __init__(
        self,
        backbone: BackboneCell,
        transformer: TransformerCell,
        *,
        in_channels: int,
        channels: int,
        num_queries: int,
        num_logits: int,
        masks_from_input: bool = False,
    ) -> None:
        super().__init__()
        self.masks_from_input = masks_from_input
        self.backbone = backbone
        self.input_proj = Conv2d(in_channels, channels)
        self.transformer = transformer
        self.query_embed = normal((num_queries, channels), 1.0, "query_embed")
        self.class_embed = Linear(channels, num_logits)
        self.bbox_embed = BoxHead(channels)

    def construct(
        self, stride32: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The backbone's last map `[B*T, h, w, C]`, `position [B, L, C]`, `key_padding_mask [B, L]` with L = T*h*w.

        Returns float32 logits `[layers, B, Q, num_logits]` and boxes `[layers, B, Q, 4]`, the last states `[B, Q, C]`
        and the memory `[B*T, h, w, C]`; where masks are made from the encoder's input, that follows in the channels.
        """
        tokens = self.input_proj(stride32)
        maps = tokens.reshape(position.shape[0], -1, *tokens.shape[1:])
        query = self.query_embed.astype(tokens.dtype)
        states, memory = self.transformer(maps, query, position, key_padding_mask, noise)
        # Matching and losses are computed in float32, and so are the heads they read.
        exact = states.astype(ms.float32)
        last = states.shape[0] - 1  # ONNX export takes an index of -1 for an empty slice
        memory = memory.reshape(tokens.shape)
        if self.masks_from_input:
            memory = ops.concat((memory, tokens), 3)
        return self.class_embed(exact), self.bbox_embed(exact), states[last], memory
