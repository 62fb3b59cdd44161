"""Starting weights from other networks: ImageNet ResNets, COCO DETR, VisTR, and our own checkpoints."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from mindspore import Parameter

from vistr.data.categories import assumed_categories
from vistr.data.clips import Batch
from vistr.errors import UserError
from vistr.layers.parameters import set_value
from vistr.models.vistr import VisTR
from vistr.weights import detr
from vistr.weights.adapting import fit_classes, fit_frames, fit_queries
from vistr.weights.architecture import is_deformable
from vistr.weights.formats import find_weights, read_weight_file
from vistr.weights.kinds import BODY, Source, source_of
from vistr.weights.load import refuse_not_finite, shorten
from vistr.weights.metadata import metadata_of
from vistr.weights.names import TEMPORAL, from_torch_layout, to_torch_layout, torch_name, torch_shape

logger = logging.getLogger(__name__)

# A COCO DETR's classes and queries mean something else to VisTR's transformer: the original leaves them out as well.
_DETR_ONLY = re.compile(r"vistr\.(class_embed|query_embed)\.")
# What the encoders, dense or deformable, have not in common, and what not every deformable one has.
_ENCODER_ATTENTION = re.compile(r"vistr\.transformer\.encoder\.layers\.\d+\.self_attn\.")
_TEMPORAL = re.compile(_ENCODER_ATTENTION.pattern + "temporal_")
_QUERIES, _CLASSES = detr.QUERIES, (detr.WEIGHT, detr.BIAS)
_ORIGINAL_INSTANCES = 10
_WIDTH = "vistr.input_proj.weight"


def read_initial(path: Path | str) -> Source:
    """Weights to start from, of any format, `hf://owner/name/file` too; UserError for another file."""
    return source_of(read_weight_file(find_weights(path)))


def load_initial(
    model: VisTR, initial: Source | Path | str, names: Sequence[str] = (), clips: Iterable[Batch] = ()
) -> None:
    """Start `model` from weights, read or to be read; says what was taken and what stays new.

    Everything the file's kind promises (a ResNet: the whole backbone; a DETR of the same width: the transformer too)
    must be there in the right shape, else UserError. Queries of a VisTR of other frames or slots, and classes of the
    same names (`names` are this network's), are reused; those of a DETR where the network's transformer is DETR's, the
    queries by what they find in `clips`. Where one encoder is dense and the other deformable, and for points in other
    frames that the file has not, attention stays new.
    """
    source = initial if isinstance(initial, Source) else read_initial(initial)
    path = source.path
    parameters = {torch_name(p.name): p for p in model.get_parameters()}
    shapes = {name: torch_shape(p.name, tuple(p.shape)) for name, p in parameters.items()}
    logger.info("starting from %s (%s)", path, source.kind)
    offered = dict(source.arrays)
    fresh = {n: to_torch_layout(p.name, p.asnumpy()) for n, p in parameters.items() if _DETR_ONLY.match(n)}
    as_detr = _stays_a_detr(source, shapes)
    if as_detr:
        offered = detr.with_our_mask_head(offered)
    if source.is_whole:
        offered |= _refitted(source, fresh, model.num_instances, names)
        if TEMPORAL in offered and TEMPORAL in shapes:
            offered[TEMPORAL] = fit_frames(offered[TEMPORAL], shapes[TEMPORAL][0])
    kept = {name: value for name, value in offered.items() if _offers(source, name, shapes)}
    promised = {name for name in parameters if _promises(source, name, shapes)} - _new_attention(source, shapes)
    wrong = sorted(name for name in promised if name not in kept or kept[name].shape != shapes[name])
    wrong += detr.misshapen(offered, model.channels) if as_detr else []
    if wrong:
        raise UserError(f"{path} looks like {source.kind}, but does not fit this network in {shorten(wrong)}")
    taken = {n for n in parameters if n in kept and kept[n].shape == shapes[n]}
    others = set(fresh) & set(offered) if as_detr else set()
    refuse_not_finite(path, {name: offered[name] for name in taken | others})
    _set(parameters, {name: kept[name] for name in taken})
    if as_detr:
        made = detr.queries_and_classes(model, offered, names, fresh, clips)
        _set(parameters, made)
        taken |= set(made)
    elif source.kind == "a DETR" and not _same_width(source, shapes):
        settings = f"transformer=detr256 transformer.hidden_dim={source.arrays[_WIDTH].shape[0]}"
        logger.info("  its width is not this network's: the backbone alone is taken; %s takes all of it", settings)
    if _other_encoder(source, shapes):
        logger.info("  one encoder is dense, the other deformable: its attention starts anew, the rest is taken")
    logger.info("  taken: %d arrays", len(taken))
    for word, some in (("new", sorted(set(parameters) - taken)), ("not used", sorted(set(offered) - taken))):
        if some:
            logger.info("  %s: %s", word, shorten(some))


def _set(parameters: Mapping[str, Parameter], arrays: Mapping[str, np.ndarray]) -> None:
    """Give the parameters, by the original's names, these values in the original's layout."""
    for name, value in arrays.items():
        set_value(parameters[name], from_torch_layout(value, tuple(parameters[name].shape)))


def what_fits(source: Source, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Those of a part's arrays that `load_initial` would use for a network of `shapes`, by the original's names."""
    as_detr = _stays_a_detr(source, shapes)
    arrays = detr.with_our_mask_head(source.arrays) if as_detr else source.arrays
    return {
        name: value
        for name, value in arrays.items()
        if (_offers(source, name, shapes) and shapes.get(name) == value.shape) or (as_detr and _DETR_ONLY.match(name))
    }


def _refitted(
    source: Source, fresh: dict[str, np.ndarray], num_instances: int, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Queries and class rows of a whole VisTR for this network's frames, slots and classes."""
    arrays, fitted = source.arrays, {}
    described = metadata_of(source.described, source.path) if source.described else None
    theirs = described.config.get("num_instances", _ORIGINAL_INSTANCES) if described else _ORIGINAL_INSTANCES
    queries = arrays.get(_QUERIES)
    if queries is not None and len(queries) % theirs == 0 and queries.shape[1] == fresh[_QUERIES].shape[1]:
        fitted[_QUERIES] = fit_queries(queries, fresh[_QUERIES], theirs, num_instances)
    weight, bias = (arrays.get(name) for name in _CLASSES)
    if weight is None or bias is None or weight.shape[1] != fresh[_CLASSES[0]].shape[1] or not names:
        return fitted
    categories = described.categories if described else assumed_categories(len(bias) - 2)
    known = [category.name for category in categories]
    for name, rows in zip(_CLASSES, (weight, bias), strict=True):
        fitted[name] = fit_classes(rows, fresh[name], known, names, say=name == _CLASSES[0])
    return fitted


def _other_encoder(source: Source, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the file has an encoder, and its attention is of the other kind."""
    has_one = any(_ENCODER_ATTENTION.match(name) for name in source.arrays)
    return has_one and is_deformable(source.arrays) != is_deformable(shapes)


def _new_attention(source: Source, shapes: Mapping[str, tuple[int, ...]]) -> set[str]:
    """The encoder's arrays that weights of a network like the file's do not have to bring."""
    names = {name for name in shapes if _ENCODER_ATTENTION.match(name)}
    return names if _other_encoder(source, shapes) else {name for name in names if _TEMPORAL.match(name)}


def _stays_a_detr(source: Source, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Whether a DETR's transformer goes on as what it is: then its queries, classes and mask head mean the same."""
    return source.kind == "a DETR" and TEMPORAL in shapes and _same_width(source, shapes)


def _same_width(source: Source, shapes: dict[str, tuple[int, ...]]) -> bool:
    width = source.arrays.get(_WIDTH)
    return width is None or width.shape[:1] == shapes[_WIDTH][:1]


def _promises(source: Source, name: str, shapes: dict[str, tuple[int, ...]]) -> bool:
    if source.is_backbone or (source.kind == "a DETR" and not _same_width(source, shapes)):
        return name.startswith(BODY)
    if source.kind == "a DETR":
        parts = (BODY, "vistr.transformer.", "vistr.bbox_embed.", "vistr.input_proj.")
        return name.startswith(parts) and name != TEMPORAL
    return not _DETR_ONLY.match(name)


def _offers(source: Source, name: str, shapes: dict[str, tuple[int, ...]]) -> bool:
    if source.kind != "a DETR":
        return True
    # Of a transformer of another width a few biases have the right shape, and mean nothing without the rest.
    return name.startswith(BODY) if not _same_width(source, shapes) else not _DETR_ONLY.match(name)
