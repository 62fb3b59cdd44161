"""Names of the earlier MindSpore port of VisTR (its `vistr_r50_all.ckpt` and `weights_r50.npy`), beside the original's.

Its instance head has dense 5x5x5 convolutions (`sequence_head=dense`), and its deformable convolution was an
operator of its own, whose weight lies in the .npy file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from vistr.errors import UserError
from vistr.weights.formats import WeightFile, read_weight_file

DEFORMABLE = "mask_head.dcn.weight"
_RENAMED = (
    (r"^embed1\.0\.features\.0\.", "vistr.backbone.0.body.conv1."),
    (r"^embed1\.0\.features\.1\.", "vistr.backbone.0.body.bn1."),
    (r"^embed1\.3\.", "vistr.backbone.0.body.layer1."),
    (r"^embed([234])\.", r"vistr.backbone.0.body.layer\1."),
    (r"\.conv(\d)\.features\.0\.", r".conv\1."),
    (r"\.conv(\d)\.features\.1\.", r".bn\1."),
    (r"\.down_sample\.features\.", ".downsample."),
    (r"^query_embed\.embedding_table$", "vistr.query_embed.weight"),
    (r"^(encoder|decoder)\.", r"vistr.transformer.\1."),
    (r"^(class_embed|bbox_embed|input_proj)\.", r"vistr.\1."),
    (r"^bbox_attention\.conv2d\.", "bbox_attention.k_linear."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"\.moving_mean$", ".running_mean"),
    (r"\.moving_variance$", ".running_var"),
)


def is_port(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether the names are those of the port."""
    return "embed1.0.features.0.weight" in arrays and "bbox_attention.conv2d.weight" in arrays


def original_name(name: str) -> str:
    """The original's name of the port's parameter `name`."""
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def from_port(file: WeightFile) -> dict[str, np.ndarray]:
    """The port's arrays by the original's names and in its shapes, the deformable weight among them.

    That weight is taken from the .npy file beside `file`. UserError where there is none, or more than one.
    """
    arrays = {original_name(name): value for name, value in file.arrays.items()}
    keys = arrays["bbox_attention.k_linear.weight"]
    arrays["bbox_attention.k_linear.weight"] = keys.reshape(keys.shape[:2])
    if DEFORMABLE not in arrays:
        arrays[DEFORMABLE] = _deformable(file)
    return arrays


def _deformable(file: WeightFile) -> np.ndarray:
    beside = sorted(file.path.parent.glob("*.npy"))
    if len(beside) != 1:
        found = f"{len(beside)} .npy files are" if beside else "none is"
        raise UserError(
            f"{file.path} lacks the weights of its deformable convolution, which came as weights_r50.npy: put that"
            f" one .npy file beside it ({found} there)"
        )
    arrays = [value for value in read_weight_file(beside[0]).arrays.values() if value.ndim == 4]
    width = file.arrays["mask_head.conv_offset.weight"].shape[1]
    fitting = [value for value in arrays if value.shape[1:] == (width, 3, 3)]
    if len(fitting) != 1:
        raise UserError(f"{beside[0]} holds no weights of a deformable convolution [outputs, {width}, 3, 3]")
    return fitting[0]
