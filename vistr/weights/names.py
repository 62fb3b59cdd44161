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
_SEQUENCE_HEAD = {"conv1": 0, "gn1": 1, "conv2": 3, "gn2": 4, "conv3": 6, "gn3": 7, "out": 9}


def torch_name(name: str) -> str:
    """The original's name of our parameter `name`."""
    name = re.sub(r"conv(\d)\.norm\.", r"bn\1.", name)
    name = re.sub(r"downsample\.norm\.", "downsample.1.", name)
    name = re.sub(r"downsample\.weight", "downsample.0.weight", name)
    name = re.sub(r"insmask_head\.(\w+)\.", lambda m: f"insmask_head.{_SEQUENCE_HEAD[m[1]]}.", name)
    for ours, original in _PREFIXES:
        if name.startswith(ours):
            return original + name[len(ours) :]
    return name


def torch_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The original's shape of our parameter `name` of `shape`."""
    if name == "segmenter.insmask_head.out.weight":
        return (*shape, 1, 1, 1)
    if len(shape) > 2:
        return (shape[0], shape[-1], *shape[1:-1])
    return shape


def from_torch_layout(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An original array in our layout, float32 of our `shape`."""
    array = np.asarray(array, np.float32)
    if array.ndim > 2 and len(shape) > 2:
        array = np.moveaxis(array, 1, -1)
    return np.ascontiguousarray(array.reshape(shape))


def to_torch_layout(name: str, array: np.ndarray) -> np.ndarray:
    """Our parameter `name` in the original's layout."""
    if array.ndim > 2:
        return np.ascontiguousarray(np.moveaxis(array, -1, 1))
    return array.reshape(torch_shape(name, array.shape))
