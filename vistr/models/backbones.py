"""The backbones there are: ResNet and Swin, their settings, and their names as options of `backbone=`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vistr.errors import UserError
from vistr.knobs import knob
from vistr.models.backbone_contract import BACKBONES, Backbone, BackboneCell, backbone_in, conv_flop, register

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BACKBONES", "LAYOUTS", "Backbone", "Layout", "ResNet", "Swin", "add_resnet", "backbone_in", "register"]


@dataclass(frozen=True)
class Layout:
    """The blocks of a ResNet's four stages, their kind, and the channels of its first convolution."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool = False
    width: int = 64

    @property
    def channels(self) -> list[int]:
        """The channels that the stages give."""
        return [self.width * (4 if self.bottleneck else 1) * 2**i for i in range(4)]


LAYOUTS: dict[str, Layout] = {}


@dataclass
class ResNet(Backbone):
    """ResNet (arXiv 1512.03385), every BatchNorm frozen; `frozen_stem` concerns conv1 and layer1."""

    family = "a ResNet"

    name: str = "r50"
    dilation: bool = False  # true: the last stage keeps its stride at 16

    @property
    def layout(self) -> Layout:
        """What the name stands for."""
        return LAYOUTS[self.name]

    @property
    def channels(self) -> list[int]:
        """The channels of the four maps."""
        return self.layout.channels

    @property
    def stride(self) -> int:
        """The stride of the last map."""
        return 16 if self.dilation else 32

    def build(self, *, trainable: bool = True, recompute: bool = False) -> BackboneCell:
        """Its cell; not `trainable`: all weights are kept."""
        from vistr.models.resnet import ResNetCell

        cell: Any = ResNetCell(self, trainable=trainable, recompute=recompute)
        return cell  # type: ignore[no-any-return]

    def flop(self, height: int, width: int) -> int:
        """Floating-point operations for one image."""
        layout = self.layout
        total, in_channels = conv_flop(3, layout.width, 7, (-(-height // 2), -(-width // 2))), layout.width
        sizes = self.map_sizes(height, width)
        before = sizes[0]
        for stage, (num_blocks, out_channels, size) in enumerate(
            zip(layout.blocks, layout.channels, sizes, strict=True)
        ):
            inner = layout.width * 2**stage
            for block in range(num_blocks):
                if layout.bottleneck:
                    total += conv_flop(in_channels, inner, 1, size if block else before)
                    total += conv_flop(inner, inner, 3, size) + conv_flop(inner, out_channels, 1, size)
                else:
                    total += conv_flop(in_channels, inner, 3, size) + conv_flop(inner, inner, 3, size)
                if block == 0 and (size != before or in_channels != out_channels):
                    total += conv_flop(in_channels, out_channels, 1, size)
                in_channels = out_channels
            before = size
        return total

    @classmethod
    def wrote(cls, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether the names are those of torchvision and timm."""
        return "conv1.weight" in arrays and "layer1.0.conv1.weight" in arrays

    def fits(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether width, blocks and their kind are this one's."""
        layout = self.layout
        blocks = tuple(
            len({name.split(".")[1] for name in arrays if name.startswith(f"layer{i}.")}) for i in range(1, 5)
        )
        return (
            "conv1.weight" in arrays
            and arrays["conv1.weight"].shape[0] == layout.width
            and blocks == layout.blocks
            and ("layer1.0.conv3.weight" in arrays) == layout.bottleneck
        )


def add_resnet(name: str, layout: Layout, **settings: Any) -> None:
    """Make a ResNet known by its name; `settings` are where it differs from the defaults."""
    register(ResNet(name, **settings))
    LAYOUTS[name] = layout


# For demos that start from nothing: a block a stage, half the width. No weights of it are published.
add_resnet("r10", Layout((1, 1, 1, 1), width=32), frozen_stem=False)
add_resnet("r18", Layout((2, 2, 2, 2)))
add_resnet("r34", Layout((3, 4, 6, 3)))
add_resnet("r50", Layout((3, 4, 6, 3), bottleneck=True))
# The authors trained R101 on smaller clips than R50.
add_resnet("r101", Layout((3, 4, 23, 3), bottleneck=True), short_side=280, long_side=504)


HEAD_WIDTH = 32


@dataclass
class Swin(Backbone):
    """Swin (arXiv 2103.14030) as for detection: a norm for each map; `frozen_stem` concerns patches and first stage."""

    family = "a Swin"
    told = ("name", "embed_dim", "depths", "window")
    no_decay = ("norm", "relative_position_bias_table")

    name: str = "swin_t"
    frozen_stem: bool = False
    embed_dim: int = knob(96, at_least=HEAD_WIDTH)  # channels of the first map, a multiple of 32, a head's
    depths: list[int] = knob([2, 2, 6, 2], at_least=1)  # noqa: RUF009 - blocks of the four stages
    window: int = knob(7, at_least=2)  # side of a window: weights are for one of them
    drop_path: float = knob(0.3, at_least=0, less_than=1)  # of the last block; it grows from 0 (Mask2Former for video)

    def check(self, at: str) -> None:
        """Raise a UserError for widths and depths that no Swin has, too."""
        super().check(at)
        if self.embed_dim % HEAD_WIDTH:
            raise UserError(f"{at}.embed_dim={self.embed_dim} is not a multiple of {HEAD_WIDTH}, the width of a head.")
        if len(self.depths) != 4:
            raise UserError(f"{at}.depths={self.depths} are not four numbers: the blocks of the four stages.")

    @property
    def channels(self) -> list[int]:
        """The channels of the four maps."""
        return [self.embed_dim * 2**i for i in range(4)]

    @property
    def stride(self) -> int:
        """The stride of the last map."""
        return 32

    @property
    def branch_rates(self) -> list[float]:
        """Two branches a block; none where drop_path is 0."""
        last = max(sum(self.depths) - 1, 1)
        return [self.drop_path * i / last for i in range(sum(self.depths)) for _ in range(2)] if self.drop_path else []

    def build(self, *, trainable: bool = True, recompute: bool = False) -> BackboneCell:
        """Its cell; not `trainable`: all weights are kept."""
        from vistr.models.swin import SwinCell

        cell: Any = SwinCell(self, trainable=trainable, recompute=recompute)
        return cell  # type: ignore[no-any-return]

    def flop(self, height: int, width: int) -> int:
        """Floating-point operations for one image; what fills up windows is computed, too, as in the original."""
        sizes = self.map_sizes(height, width)
        total = conv_flop(3, self.embed_dim, 4, sizes[0])
        for i, (depth, channels, size) in enumerate(zip(self.depths, self.channels, sizes, strict=True)):
            padded = (-(-size[0] // self.window) * self.window, -(-size[1] // self.window) * self.window)
            attention = conv_flop(channels, 4 * channels + 2 * self.window**2, 1, padded)
            total += depth * (attention + conv_flop(channels, 8 * channels, 1, size))
            if i < 3:
                total += conv_flop(4 * channels, 2 * channels, 1, sizes[i + 1])
        return total

    @classmethod
    def wrote(cls, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether the names are Microsoft's; timm's and torchvision's are turned into these."""
        return "patch_embed.proj.weight" in arrays and f"layers.0.blocks.0.{BIAS_TABLE}" in arrays

    def fits(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether width and depths are this one's; the window may be another."""
        blocks = [[name.split(".")[3] for name in arrays if name.startswith(f"layers.{i}.blocks.")] for i in range(4)]
        return (
            self.wrote(arrays)
            and arrays["patch_embed.proj.weight"].shape[0] == self.embed_dim
            and [len(set(numbers)) for numbers in blocks] == self.depths
        )

    def as_in(self, arrays: Mapping[str, np.ndarray]) -> Backbone:
        """The same with the window that the arrays are for."""
        rows = arrays[f"layers.0.blocks.0.{BIAS_TABLE}"].shape[0]
        return replace(self, window=(math.isqrt(rows) + 1) // 2)


BIAS_TABLE = "attn.relative_position_bias_table"
register(Swin("swin_t"))
register(Swin("swin_s", depths=[2, 2, 18, 2]))
# Video models start from their weights of 384x384 pixels.
register(Swin("swin_b", embed_dim=128, depths=[2, 2, 18, 2], window=12))
register(Swin("swin_l", embed_dim=192, depths=[2, 2, 18, 2], window=12))
