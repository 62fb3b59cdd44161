"""Settings of the network's parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from vistr.errors import UserError, shortened
from vistr.knobs import knob

if TYPE_CHECKING:
    from mindspore import Tensor

# Kernel and dilation, which see equally far: the paper's head, and that of an earlier MindSpore port.
SEQUENCE_HEADS = {"dilated": (3, 2), "dense": (5, 1)}


class TransformerCell(Protocol):
    """The network that a transformer builds, an `nn.Cell`."""

    def __call__(
        self, maps: Tensor, query: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Maps `[B, T, h, w, C]` and queries `[Q, C]` to decoder states `[layers, B, Q, C]` and the memory, maps again.

        `position [B, L, C]`, L = T*h*w; `key_padding_mask [B, L]` is 0 or, at padding, a large negative number; `noise`
        is the pool that dropout is drawn from, None for no dropout.
        """


@dataclass
class Transformer:
    """VisTR's encoder and decoder; `hidden_dim` is also the width every head follows from.

    A subclass is another kind of transformer, with a `name` of its own, and an option by its entry in TRANSFORMERS.
    """

    position_axes: ClassVar[tuple[int, ...]] = (1, 2, 3)
    """Which of frame, row and column (1, 2, 3) the sine position code covers; they share the channels evenly."""

    masks_from_input: ClassVar[bool] = False
    """Whether the mask head reads the encoder's input, as DETR's does, and not the memory."""

    name: str = "vistr"  # the kind: it follows from the option
    hidden_dim: int = knob(384, at_least=1)  # a multiple of num_heads, 32 and what the position code needs
    num_heads: int = knob(8, at_least=1)
    num_encoder_layers: int = knob(6, at_least=1)
    num_decoder_layers: int = knob(6, at_least=1)
    feedforward_dim: int = knob(2048, at_least=1)
    dropout: float = knob(0.1, at_least=0, less_than=1)
    pre_norm: bool = False  # true: normalisation before each sublayer, not after it

    def build(self, *, num_frames: int, recompute: bool) -> TransformerCell:
        """Its cell with random weights, for clips of `num_frames`; with `recompute` activations are computed again on
        the way back."""
        from vistr.models.transformer import VisTRTransformer

        cell: Any = VisTRTransformer(self, recompute)
        return cell  # type: ignore[no-any-return]

    def flop(self, num_tokens: int, num_queries: int) -> int:
        """Floating-point operations for a clip, a multiply-add being 2."""

        def feed_forward(length: int) -> int:
            return 2 * 2 * length * self.hidden_dim * self.feedforward_dim

        encoder = self.encoder_attention_flop(num_tokens) + feed_forward(num_tokens)
        decoder = self.attention_flop(num_queries, num_queries) + self.attention_flop(num_queries, num_tokens)
        return self.num_encoder_layers * encoder + self.num_decoder_layers * (decoder + feed_forward(num_queries))

    def attention_flop(self, queries: int, keys: int) -> int:
        """Those of attention of every query to every key, with its four projections."""
        width = self.hidden_dim
        return 2 * width * width * (2 * queries + 2 * keys) + 2 * 2 * queries * keys * width

    def encoder_attention_flop(self, num_tokens: int) -> int:
        """Those of an encoder layer's attention."""
        return self.attention_flop(num_tokens, num_tokens)

    def check(self, at: str) -> None:
        """Raise a UserError for a width that the heads, the position code or the masks cannot have."""
        width, heads = self.hidden_dim, self.num_heads
        if self.name not in (names := {one.name for one in TRANSFORMERS.values() if type(one) is type(self)}):
            raise UserError(f"{at}.name={shortened(self.name)} is not {', '.join(names)}: choose with {at}=<option>.")
        if width % heads:
            raise UserError(
                f"{at}.hidden_dim={width} is not a multiple of {at}.num_heads={heads}: "
                "every head needs the same number of channels."
            )
        axes = len(self.position_axes)
        if width % (needed := math.lcm(2 * axes, 32)):
            raise UserError(
                f"{at}.hidden_dim={width} is not a multiple of {needed}: the position code (sine and cosine of {axes} "
                "axes) and the mask head (width halved up to five times) need that."
            )


@dataclass
class Deformable(Transformer):
    """VisTR with a deformable encoder of one level (arXiv 2010.04159, 2203.06318): its cost is linear in the tokens.

    A token reads `num_points` points around its own place in its own frame. With `temporal_points` it also reads so
    many in every one of the `temporal_window` frames before its own and after it that the clip has, around the same
    place; they have offsets of their own, and one softmax runs over all (as in DeVIS, arXiv 2207.11103).
    """

    name: str = "deformable"
    num_points: int = knob(4, at_least=1)  # a head's, in a token's own frame
    temporal_points: int = knob(0, at_least=0)  # a head's, in each of the frames around it
    # So many frames before it and as many after it.
    temporal_window: int = knob(2, at_least=1, needs=("temporal_points", bool))

    def build(self, *, num_frames: int, recompute: bool) -> TransformerCell:
        """Its cell with random weights, for clips of any length."""
        from vistr.models.deformable_transformer import DeformableTransformer

        cell: Any = DeformableTransformer(self, recompute)
        return cell  # type: ignore[no-any-return]

    @property
    def points_a_head(self) -> int:
        """All points that a head reads for a token."""
        return self.num_points + 2 * self.temporal_window * self.temporal_points

    def encoder_attention_flop(self, num_tokens: int) -> int:
        """Two projections, three numbers for every point of every head, and four corners to read for each point."""
        width, points = self.hidden_dim, self.points_a_head
        return 2 * num_tokens * width * (2 * width + 3 * self.num_heads * points + 4 * points)


@dataclass
class Detr(Transformer):
    """DETR's transformer (arXiv 2005.12872) over clips: the untrained network sees a frame as the image detector does.

    The position code is DETR's, of row and column alone; what tells frames apart is learned, a vector for each that is
    zero at first and added to the position code (as in DeVIS, arXiv 2207.11103). The mask head is DETR's up to its
    last layer.
    """

    position_axes: ClassVar[tuple[int, ...]] = (2, 3)
    masks_from_input: ClassVar[bool] = True

    name: str = "detr"
    hidden_dim: int = knob(256, at_least=1)  # that of the public weights

    def build(self, *, num_frames: int, recompute: bool) -> TransformerCell:
        """Its cell with random weights, for clips of `num_frames`."""
        from vistr.models.transformer import DetrTransformer

        cell: Any = DetrTransformer(self, num_frames, recompute)
        return cell  # type: ignore[no-any-return]


# Every transformer by the name of its option. Theirs is the class of settings that builds it.
TRANSFORMERS: dict[str, Transformer] = {
    "paper": Transformer(),
    # Of DeVIS's experiments with 36 frames and one level, that without temporal points is the better and the cheaper.
    "deformable": Deformable(),
    # To start from the public COCO DETR (docs/weights.md).
    "detr256": Detr(),
    # For demos that start from nothing; short runs on little data learn faster without dropout, and with normalisation
    # before each sublayer.
    "small": Transformer(
        hidden_dim=96,
        num_heads=4,
        num_encoder_layers=2,
        num_decoder_layers=2,
        feedforward_dim=256,
        dropout=0.0,
        pre_norm=True,
    ),
}
