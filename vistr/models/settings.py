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
        self, tokens: Tensor, query: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Tokens `[B, L, C]` and queries `[Q, C]` to decoder states `[layers, B, Q, C]` and memory `[B, L, C]`.

        `position [B, L, C]`; `key_padding_mask [B, L]` is 0 or, at padding, a large negative number; `noise` is the
        pool that dropout is drawn from, None for no dropout.
        """


@dataclass
class Transformer:
    """VisTR's encoder and decoder; `hidden_dim` is also the width every head follows from.

    A subclass is another kind of transformer, with a `name` of its own, and an option by its entry in TRANSFORMERS.
    """

    position_axes: ClassVar[tuple[int, ...]] = (1, 2, 3)
    """Which of frame, row and column (1, 2, 3) the sine position code covers; they share the channels evenly."""

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
        width = self.hidden_dim

        def attention(queries: int, keys: int) -> int:
            return 2 * width * width * (2 * queries + 2 * keys) + 2 * 2 * queries * keys * width

        def feed_forward(length: int) -> int:
            return 2 * 2 * length * width * self.feedforward_dim

        encoder = attention(num_tokens, num_tokens) + feed_forward(num_tokens)
        decoder = attention(num_queries, num_queries) + attention(num_queries, num_tokens) + feed_forward(num_queries)
        return self.num_encoder_layers * encoder + self.num_decoder_layers * decoder

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


# Every transformer by the name of its option. Theirs is the class of settings that builds it.
TRANSFORMERS: dict[str, Transformer] = {
    "paper": Transformer(),
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
