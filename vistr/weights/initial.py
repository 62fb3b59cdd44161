"""Starting weights from other networks: ImageNet ResNets, COCO DETR, VisTR, and our own checkpoints."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mindspore import nn
from safetensors import SafetensorError
from safetensors.numpy import load_file

from vistr.errors import UserError
from vistr.layers.parameters import set_value
from vistr.weights.load import shorten
from vistr.weights.names import from_torch_layout, to_torch_layout, torch_name, torch_shape

logger = logging.getLogger(__name__)

_BODY = "vistr.backbone.0.body."
# A COCO DETR's classes and queries mean something else: the original leaves them out as well.
_DETR_ONLY = re.compile(r"vistr\.(class_embed|query_embed)\.")
_IGNORED = re.compile(r"(num_batches_tracked|(^|\.)fc\.(weight|bias))$")


def load_initial(model: nn.Cell, path: Path) -> None:
    """Start `model` from a `.safetensors` file; says what was taken, what stays new and what was not used.

    Understands torchvision's and timm's ResNets, COCO DETR, the original VisTR and our checkpoints by their names.
    Everything the file's kind promises (a ResNet: the whole backbone; a DETR: the transformer too) must be there in
    the right shape, else UserError.
    """
    if not path.is_file():
        raise UserError(f"init={path}: there is no such file")
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"init={path} is damaged or no safetensors file ({error})") from error
    kind, named = recognise(arrays, path)
    parameters = {torch_name(p.name): p for p in model.get_parameters()}
    shapes = {name: torch_shape(p.name, tuple(p.shape)) for name, p in parameters.items()}
    promised = {name for name in parameters if _promises(kind, name)}
    wrong = sorted(name for name in promised if name not in named or named[name].shape != shapes[name])
    if wrong:
        raise UserError(f"init={path} looks like {kind}, but does not fit this network in {shorten(wrong)}")
    taken = {n for n in parameters if n in named and named[n].shape == shapes[n] and _offers(kind, n)}
    for name in taken:
        parameter = parameters[name]
        set_value(parameter, from_torch_layout(named[name], tuple(parameter.shape)))
    logger.info("starting from %s (%s): %d arrays taken", path, kind, len(taken))
    for word, names in (("new", sorted(set(parameters) - taken)), ("not used", sorted(set(named) - taken))):
        if names:
            logger.info("  %s: %s", word, shorten(names))


def recognise(arrays: Mapping[str, np.ndarray], path: Path) -> tuple[str, dict[str, np.ndarray]]:
    """What kind of network the arrays of `path` are of, and the arrays by the original VisTR's names."""
    arrays = {name: value for name, value in arrays.items() if not _IGNORED.search(name)}
    if any(name.startswith("model.detector.") for name in arrays):
        ours = {n.removeprefix("model."): v for n, v in arrays.items() if n.startswith("model.")}
        return "a vistr checkpoint", {torch_name(n): to_torch_layout(n, v) for n, v in ours.items()}
    if any(name.startswith(_BODY) for name in arrays):
        return "a VisTR", dict(arrays)
    arrays = {name.removeprefix("detr."): value for name, value in arrays.items()}
    if any(name.startswith("backbone.0.body.") for name in arrays):
        heads = ("bbox_attention.", "mask_head.")
        return "a DETR", {n if n.startswith(heads) else f"vistr.{n}": v for n, v in arrays.items()}
    if "conv1.weight" in arrays and "layer1.0.conv1.weight" in arrays:
        return "a ResNet", {_BODY + name: value for name, value in arrays.items()}
    names = shorten(sorted(arrays), 3)
    raise UserError(f"init={path}: the names in it ({names}) are neither a ResNet's, a DETR's nor a VisTR's")


def _promises(kind: str, name: str) -> bool:
    if kind == "a ResNet":
        return name.startswith(_BODY)
    if kind == "a DETR":
        return name.startswith((_BODY, "vistr.transformer.", "vistr.bbox_embed.", "vistr.input_proj."))
    return not _DETR_ONLY.match(name)


def _offers(kind: str, name: str) -> bool:
    return not (kind == "a DETR" and _DETR_ONLY.match(name))
