"""Names of Swin's weights in timm's and torchvision's files, beside Microsoft's, which are ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

# What is no weight but follows from the sizes.
_TABLES = re.compile(r"(relative_position_index|attn_mask)$")
_FROM_TORCHVISION = (
    (r"^features\.0\.0\.", lambda m: "patch_embed.proj."),
    (r"^features\.0\.2\.", lambda m: "patch_embed.norm."),
    (r"^features\.([1357])\.(\d+)\.", lambda m: f"layers.{int(m[1]) // 2}.blocks.{m[2]}."),
    (r"^features\.([246])\.(?=norm|reduction)", lambda m: f"layers.{int(m[1]) // 2 - 1}.downsample."),
    (r"\.mlp\.0\.", lambda m: ".mlp.fc1."),
    (r"\.mlp\.3\.", lambda m: ".mlp.fc2."),
)


def microsoft_names(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A Swin's arrays by Microsoft's names, whosever they had; those of other networks as they are.

    Files of classifiers lack the norms of the maps, which start as norms do.
    """
    if "features.1.0.attn.relative_position_bias_table" in arrays:
        arrays = {_from_torchvision(name): value for name, value in arrays.items()}
    if "layers.0.blocks.0.attn.relative_position_bias_table" not in arrays:
        return dict(arrays)
    # timm counts the way to a stage as the stage's own.
    if "layers.0.downsample.reduction.weight" not in arrays:
        arrays = {_one_stage_earlier(name): value for name, value in arrays.items()}
    fresh: dict[str, np.ndarray] = {}
    for i in range(4):
        like = arrays.get(f"layers.{i}.blocks.0.norm1.weight")
        if like is not None:
            fresh |= {f"norm{i}.weight": np.ones_like(like), f"norm{i}.bias": np.zeros_like(like)}
    return fresh | {name: value for name, value in arrays.items() if not _TABLES.search(name)}


def _from_torchvision(name: str) -> str:
    for pattern, replacement in _FROM_TORCHVISION:
        name = re.sub(pattern, replacement, name)
    return name


def _one_stage_earlier(name: str) -> str:
    return re.sub(r"^layers\.([123])\.downsample\.", lambda m: f"layers.{int(m[1]) - 1}.downsample.", name)
