"""The configuration of a whole VisTR, read off the shapes of its arrays: other people's files do not state it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vistr.errors import UserError
from vistr.models.backbones import BACKBONES, Backbone, backbone_in
from vistr.weights.kinds import BODY
from vistr.weights.names import TEMPORAL


def backbone_of(arrays: Mapping[str, np.ndarray]) -> Backbone | None:
    """The backbone among arrays of the original's names; None for one that is not known here."""
    return backbone_in({name.removeprefix(BODY): value for name, value in arrays.items() if name.startswith(BODY)})


def architecture(arrays: Mapping[str, np.ndarray], path: Path, *, num_instances: int, dilation: bool) -> dict[str, Any]:
    """The configuration's model part for a whole VisTR's arrays (the original's names), as nested dicts.

    Shapes do not tell the number of slots in a frame (`num_instances`) nor whether the last stage is dilated.
    UserError names what is missing, or a backbone that is not known here.
    """
    try:
        width = arrays["vistr.input_proj.weight"].shape[0]
        num_queries = arrays["vistr.query_embed.weight"].shape[0]
        heads = arrays["mask_head.lay1.weight"].shape[0] - width
        feedforward = arrays["vistr.transformer.encoder.layers.0.linear1.weight"].shape[0]
        kernel = arrays["insmask_head.0.weight"].shape[-1]
    except KeyError as error:
        raise UserError(f"{path} is no whole VisTR: it lacks {error.args[0]}; start from it with init=") from error
    backbone = backbone_of(arrays)
    if backbone is None:
        raise UserError(f"{path} has a backbone that is none of {', '.join(BACKBONES)}")
    if num_queries % num_instances:
        raise UserError(
            f"{path} has {num_queries} queries, which num_instances={num_instances} does not divide: convert it with"
            " the number of slots it was trained with, num_instances="
        )
    return {
        "num_frames": num_queries // num_instances,
        "num_instances": num_instances,
        "sequence_head": "dense" if kernel == 5 else "dilated",
        "backbone": {**asdict(backbone), **({"dilation": True} if dilation else {})},
        "transformer": {
            **kind_of(arrays, heads, path),
            "hidden_dim": width,
            "num_heads": heads,
            "num_encoder_layers": count_layers("encoder", arrays),
            "num_decoder_layers": count_layers("decoder", arrays),
            "feedforward_dim": feedforward,
            "pre_norm": "vistr.transformer.encoder.norm.weight" in arrays,
        },
    }


def is_deformable(names: Iterable[str]) -> bool:
    """Whether the encoder that has arrays of these names is the deformable one."""
    return any(name.startswith("vistr.transformer.encoder.") and "sampling_offsets" in name for name in names)


def kind_of(arrays: Mapping[str, np.ndarray], heads: int, path: Path) -> dict[str, Any]:
    """The transformer's kind, and its points where the encoder is deformable.

    UserError for an encoder that also reads other frames: its shapes do not tell how many.
    """
    if TEMPORAL in arrays:
        return {"name": "detr"}
    if not is_deformable(arrays):
        return {}
    if any("temporal_sampling_offsets" in name for name in arrays):
        raise UserError(
            f"{path} has a deformable encoder that reads other frames, and does not say how many: start from it with"
            " init= and set transformer.temporal_points= and transformer.temporal_window="
        )
    return {"name": "deformable", "num_points": num_points(arrays, heads)}


def num_points(arrays: Mapping[str, np.ndarray], heads: int) -> int:
    """The points that a head of the deformable encoder reads in a token's own frame; 0 where nothing tells."""
    weights = arrays.get("vistr.transformer.encoder.layers.0.self_attn.attention_weights.weight")
    return 0 if weights is None or weights.ndim != 2 or heads < 1 else weights.shape[0] // heads


def count_layers(part: str, arrays: Mapping[str, np.ndarray]) -> int:
    """The layers of the transformer's "encoder" or "decoder"."""
    return _count(rf"vistr\.transformer\.{part}\.layers\.(\d+)\.", arrays)


def _count(pattern: str, arrays: Mapping[str, np.ndarray]) -> int:
    return len({found[1] for name in arrays if (found := re.match(pattern, name))})
