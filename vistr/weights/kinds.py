"""Which kind of network a file's weights are of, and its arrays by the original VisTR's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vistr.errors import UserError
from vistr.models.backbones import BACKBONES
from vistr.weights.formats import WeightFile
from vistr.weights.load import shorten
from vistr.weights.mindspore_port import from_port, is_port
from vistr.weights.names import to_torch_layout, torch_name
from vistr.weights.swin_names import microsoft_names

Kind = str  # "a vistr checkpoint", "a VisTR", "a VisTR of the MindSpore port", "a DETR", or a backbone's family
BODY = "vistr.backbone.0.body."
MODEL = "model."  # what our own checkpoints put before the names of weights
_IGNORED = re.compile(r"(num_batches_tracked|(^|\.)fc\.(weight|bias))$")


@dataclass(frozen=True)
class Source:
    """Weights from a file, their arrays in the original's names and layout.

    `kind` is the kind of network; `described` the metadata of our own checkpoints, empty for others.
    """

    path: Path
    format: str
    kind: Kind
    arrays: dict[str, np.ndarray]
    described: dict[str, Any]

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole VisTR, not a part to start from."""
        return self.kind in ("a vistr checkpoint", "a VisTR", "a VisTR of the MindSpore port")

    @property
    def is_backbone(self) -> bool:
        """Whether it is a backbone alone."""
        return not self.is_whole and self.kind != "a DETR"


def source_of(file: WeightFile) -> Source:
    """Recognise the kind of network whose arrays a file holds.

    Understands torchvision's and timm's ResNets, theirs and Microsoft's Swins, COCO DETR, the original VisTR, its
    MindSpore port and our own checkpoints by their names. Raises UserError for other names.
    """
    kind: Kind
    if is_port(file.arrays):
        kind, arrays = "a VisTR of the MindSpore port", from_port(file)
    else:
        kind, arrays = recognise(file.arrays, file.path)
    return Source(file.path, file.format, kind, arrays, file.described)


def recognise(arrays: Mapping[str, np.ndarray], path: Path) -> tuple[Kind, dict[str, np.ndarray]]:
    """The kind of network that the arrays of `path` are of, and the arrays by the original VisTR's names."""
    arrays = {name: value for name, value in arrays.items() if not _IGNORED.search(name)}
    if any(name.startswith("model.detector.") for name in arrays):
        ours = {n.removeprefix(MODEL): v for n, v in arrays.items() if n.startswith(MODEL)}
        return "a vistr checkpoint", {torch_name(n): to_torch_layout(n, v) for n, v in ours.items()}
    if any(name.startswith("insmask_head.") for name in arrays):
        return "a VisTR", arrays
    # Parts under the original's names are what task=convert makes of them.
    arrays = {name.removeprefix("detr.").removeprefix("vistr."): value for name, value in arrays.items()}
    if any(name.startswith("transformer.") for name in arrays):
        heads = ("bbox_attention.", "mask_head.")
        return "a DETR", {n if n.startswith(heads) else f"vistr.{n}": v for n, v in arrays.items()}
    arrays = microsoft_names({name.removeprefix("backbone.0.body."): value for name, value in arrays.items()})
    for backbone in BACKBONES.values():
        if backbone.wrote(arrays):
            return backbone.family, {BODY + name: value for name, value in arrays.items()}
    names = shorten(sorted(arrays), 3)
    raise UserError(f"{path}: the names in it ({names}) are neither a ResNet's, a Swin's, a DETR's nor a VisTR's")
