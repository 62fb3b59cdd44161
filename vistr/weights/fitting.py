"""Check that starting weights fit the configured network before it is built; the settings that differ are named.

`load_initial` compares array by array, and the names of arrays are of little help to whoever typed backbone=r18.
"""

from __future__ import annotations

from typing import Any

from vistr.config import Config
from vistr.errors import UserError, shortened
from vistr.models.settings import TRANSFORMERS, Deformable, Detr
from vistr.weights.architecture import backbone_of, count_layers, is_deformable, num_points
from vistr.weights.kinds import Source
from vistr.weights.names import TEMPORAL


def require_fitting(source: Source, config: Config) -> None:
    """UserError that names the settings in which the weights' network is another than the configured one."""
    differing = {key: (theirs, ours) for key, theirs, ours in _compared(source, config) if theirs != ours}
    if differing:
        has = ", ".join(f"{key}={theirs}" for key, (theirs, _) in differing.items())
        ours = ", ".join(str(ours) for _, ours in differing.values())
        raise UserError(
            f"init={shortened(source.path)} ({source.kind}) has {has}, but the configured network {ours}:"
            " set the same, or choose other weights."
        )


def _compared(source: Source, config: Config) -> list[tuple[str, Any, Any]]:
    """Key, the weights' value and the configured one, of the settings that shapes and names tell."""
    arrays, transformer = source.arrays, config.transformer
    backbone, found = backbone_of(arrays), list[tuple[str, Any, Any]]()
    if backbone is not None:
        told = backbone.told if backbone.name == config.backbone.name else ("name",)
        found += [(f"backbone.{key}", getattr(backbone, key), getattr(config.backbone, key)) for key in told]
    width = _size(source, "vistr.input_proj.weight", 0)
    if source.is_backbone or width is None:
        return found
    if source.is_whole:
        if (TEMPORAL in arrays) != isinstance(transformer, Detr):
            found.append(("transformer", "detr256" if TEMPORAL in arrays else "paper", _option(transformer.name)))
        found.append(("transformer.hidden_dim", width, transformer.hidden_dim))
    elif width != transformer.hidden_dim:
        return found  # of a DETR of another width the backbone alone is taken
    feedforward = _size(source, "vistr.transformer.encoder.layers.0.linear1.weight", 0)
    if feedforward is not None:
        found.append(("transformer.feedforward_dim", feedforward, transformer.feedforward_dim))
    for part, wanted in (("encoder", transformer.num_encoder_layers), ("decoder", transformer.num_decoder_layers)):
        # Layers that the file has beyond the network's are left out.
        found.append((f"transformer.num_{part}_layers", min(count_layers(part, arrays), wanted), wanted))
    if isinstance(transformer, Deformable) and is_deformable(arrays):
        found.append(("transformer.num_points", num_points(arrays, transformer.num_heads), transformer.num_points))
    found.append(("transformer.pre_norm", "vistr.transformer.encoder.norm.weight" in arrays, transformer.pre_norm))
    heads, kernel = _size(source, "mask_head.lay1.weight", 0), _size(source, "insmask_head.0.weight", -1)
    if heads is not None and width == transformer.hidden_dim:
        found.append(("transformer.num_heads", heads - width, transformer.num_heads))
    if source.is_whole and kernel is not None:
        found.append(("sequence_head", "dense" if kernel == 5 else "dilated", config.sequence_head))
    return found


def _option(kind: str) -> str:
    """The first option whose transformer is of a kind."""
    return next(option for option, settings in TRANSFORMERS.items() if settings.name == kind)


def _size(source: Source, name: str, axis: int) -> int | None:
    array = source.arrays.get(name)
    return None if array is None or array.ndim < 2 else int(array.shape[axis])
