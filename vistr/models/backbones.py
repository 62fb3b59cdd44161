"""The backbones: what each has to offer, and all there are, by name.

A backbone is a class of settings (its section of the configuration) that answers what the rest of the network, the
counts of FLOP and the readers of weights ask, and builds its cell. `register` makes one an option of `backbone=`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from vistr.errors import UserError
from vistr.knobs import knob

if TYPE_CHECKING:
    import numpy as np
    from mindspore import Parameter, Tensor

Maps = tuple["Tensor", "Tensor", "Tensor", "Tensor"]
Size = tuple[int, int]


class BackboneCell(Protocol):
    """The network that a backbone builds, an `nn.Cell`: images `[N, H, W, 3]` to four maps `[N, h, w, C]`.

    `sizes [N, 2]` are the pictures' height and width within the images, None where they fill them; what maps hold
    beyond their pictures is not looked at. One that has `Backbone.branch_rates` takes their factors
    `[N, branches]` as well, where some are left out.
    """

    frozen_stem: bool
    """Whether nothing up to the first map trains: then no gradient is taken beyond it, and the cell has `stem` and
    `stages`."""

    def __call__(self, x: Tensor, sizes: Tensor | None = None) -> Maps:
        """The maps of strides 4, 8, 16 and `Backbone.stride`."""

    def stem(self, x: Tensor, sizes: Tensor | None) -> Tensor:
        """The map of stride 4."""

    def stages(self, stride4: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The other three maps, of the first."""

    def calibrate(self, images: Tensor, sizes: Tensor | None = None) -> None:
        """Make fixed statistics of normalisation, if there are any, those of `images`: random weights have none."""

    def trainable_params(self) -> list[Parameter]:
        """The parameters that train."""


@dataclass
class Backbone(ABC):
    """Settings of a backbone, `backbone` in the configuration, and the questions that each has to answer."""

    family: ClassVar[str]
    """What the files of its weights are said to be, such as "a ResNet"."""
    told: ClassVar[tuple[str, ...]] = ("name",)
    """The settings that the arrays of a pretrained file tell."""
    no_decay: ClassVar[tuple[str, ...]] = ()
    """What the names of parameters without weight decay have in them."""

    name: str = ""
    frozen_stem: bool = True  # what comes before the map of stride 4 keeps its weights
    # Clip size in pixels: the short side, unless the long side would pass its limit.
    short_side: int = knob(300, at_least=1)
    long_side: int = knob(540, at_least=1)

    def check(self, at: str) -> None:
        """Raise a UserError for a name that is not of this class, and where the sides contradict each other."""
        names = [name for name, backbone in BACKBONES.items() if type(backbone) is type(self)]
        if self.name not in names:
            raise UserError(f"{at}.name={self.name} is not one of its choices: {', '.join(names)}.")
        if self.short_side > self.long_side:
            raise UserError(f"{at}.short_side={self.short_side} is larger than {at}.long_side={self.long_side}.")

    @property
    @abstractmethod
    def channels(self) -> list[int]:
        """The channels of the four maps."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """The stride of the last map: 16 or 32. Those of the others are 4, 8 and 16."""

    @property
    def branch_rates(self) -> list[float]:
        """How often each residual branch is left out in training (stochastic depth); none for a backbone without."""
        return []

    @abstractmethod
    def build(self, *, trainable: bool, recompute: bool) -> BackboneCell:
        """Its cell with random weights; with `recompute` activations are computed again on the way back."""

    @abstractmethod
    def flop(self, height: int, width: int) -> int:
        """Floating-point operations for one image, a multiply-add being 2."""

    @classmethod
    @abstractmethod
    def wrote(cls, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether pretrained weights of this family have such names (those the originals' files use)."""

    @abstractmethod
    def fits(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether the arrays of a pretrained file are this backbone's."""

    def as_in(self, arrays: Mapping[str, np.ndarray]) -> Backbone:
        """The same with the settings that the arrays of a file that fits tell."""
        return replace(self)

    def map_sizes(self, height: int, width: int) -> list[Size]:
        """Height and width of the four maps."""
        return [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, self.stride)]


BACKBONES: dict[str, Backbone] = {}
"""Every backbone by name, with the settings that `backbone=<name>` stands for."""


def register(backbone: Backbone) -> None:
    """Make a backbone known by its name. Raises ValueError where the name is taken."""
    if not backbone.name or backbone.name in BACKBONES:
        raise ValueError(f"the name {backbone.name!r} of a backbone is empty, or taken")
    BACKBONES[backbone.name] = backbone


def backbone_in(arrays: Mapping[str, np.ndarray]) -> Backbone | None:
    """The backbone that the arrays of a pretrained file are of; None for one that is not known here."""
    return next((one.as_in(arrays) for one in BACKBONES.values() if one.fits(arrays)), None)


def conv_flop(in_channels: int, out_channels: int, kernel: int, size: Size) -> int:
    """Floating-point operations of a convolution with an output of `size`."""
    return 2 * in_channels * out_channels * kernel * kernel * size[0] * size[1]


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
