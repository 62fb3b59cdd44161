"""What a backbone has to offer, and the registry of all there are, which `backbones` fills.

A backbone is a class of settings (its section of the configuration) that answers what the rest of the network, the
counts of FLOP and the readers of weights ask, and builds its cell. `register` makes one an option of `backbone=`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

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
