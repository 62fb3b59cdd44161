"""Names and layouts of the original VisTR's state dict, beside ours.

The original keeps convolution weights as `[O, I, *kernel]`; ours are `[O, *kernel, I]`.
"""

from __future__ import annotations

import re

import numpy as np

_PREFIXES = (
    ("detector.backbone.", "vistr.backbone.0.body."),
    ("detector.query_embed", "vistr.query_embed.weight"),
    ("detector.", "vistr."),
    ("segmenter.", ""),
)
TEMPORAL = "vistr.transformer.temporal_embed"  # what tells frames apart where the transformer is DETR's
_SEGMENTER = ("bbox_attention.", "mask_head.", "insmask_head.")
_SEQUENCE_HEAD = {"conv1": 0, "gn1": 1, "conv2": 3, "gn2": 4, "conv3": 6, "gn3": 7, "out": 9}
_FROM_SEQUENCE_HEAD = {str(number): name for name, number in _SEQUENCE_HEAD.items()}


def torch_name(name: str) -> str:
    """The original's name of our parameter `name`."""
    name = re.sub(r"conv(\d)\.norm\.", r"bn\1.", name)
    name = re.sub(r"(layer\d\.\d+\.downsample)\.norm\.", r"\1.1.", name)
    name = re.sub(r"(layer\d\.\d+\.downsample)\.weight", r"\1.0.weight", name)
    name = re.sub(r"insmask_head\.(\w+)\.", lambda m: f"insmask_head.{_SEQUENCE_HEAD[m[1]]}.", name)
    for ours, original in _PREFIXES:
        if name.startswith(ours):
            return original + name[len(ours) :]
    return name


def our_name(name: str) -> str:
    """Our name of the original's entry `name`: `torch_name` turned round."""
    for ours, original in _PREFIXES:
        if name.startswith(original) and (original or name.startswith(_SEGMENTER)):
            name = ours + name[len(original) :]
            break
    name = re.sub(r"(?<=\.)bn(\d)\.", r"conv\1.norm.", name)
    name = re.sub(r"downsample\.1\.", "downsample.norm.", name)
    name = re.sub(r"downsample\.0\.", "downsample.", name)
    return re.sub(r"insmask_head\.(\d)\.", lambda m: f"insmask_head.{_FROM_SEQUENCE_HEAD[m[1]]}.", name)


def torch_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The original's shape of our parameter `name` of `shape`."""
    if name == "segmenter.insmask_head.out.weight":
        return (*shape, 1, 1, 1)
    if len(shape) > 2:
        return (shape[0], shape[-1], *shape[1:-1])
    return shape


def our_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Convert the shape of the original's parameter `name`, (O, I, *k), to ours, (O, *k, I)."""
    if name == "insmask_head.9.weight":
        return shape[:2]
    return (shape[0], *shape[2:], shape[1]) if len(shape) > 2 else shape


def from_torch_layout(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Convert an array (O, I, *k) of the original to ours (O, *k, I): float32, of our `shape`."""
    array = np.asarray(array, np.float32)
    if array.ndim > 2 and len(shape) > 2:
        array = np.moveaxis(array, 1, -1)
    return np.ascontiguousarray(array.reshape(shape))


def to_torch_layout(name: str, array: np.ndarray) -> np.ndarray:
    """Our parameter `name` in the original's layout."""
    if array.ndim > 2:
        return np.ascontiguousarray(np.moveaxis(array, -1, 1))
    return array.reshape(torch_shape(name, array.shape))
