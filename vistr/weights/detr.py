"""Queries, classes and mask head of a COCO DETR for a VisTR with DETR's transformer; other arrays have equal names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from mindspore import Tensor
from scipy.special import softmax

from vistr.data.category_tables import COCO_IDS, coco_ids
from vistr.data.clips import Batch
from vistr.models.vistr import VisTR
from vistr.weights.adapting import fit_classes
from vistr.weights.load import shorten

logger = logging.getLogger(__name__)

QUERIES, WEIGHT, BIAS = "vistr.query_embed.weight", "vistr.class_embed.weight", "vistr.class_embed.bias"
# DETR's last hidden layer of its mask head, and the deformable convolution, with offsets of zero, that it is here.
_LAST_LAYER = {f"mask_head.lay5.{kind}": f"mask_head.dcn.{kind}" for kind in ("weight", "bias")}


def our_mask_head(name: str) -> str:
    """The name that a layer of a DETR's mask head has here."""
    return _LAST_LAYER.get(name, name)


def with_our_mask_head(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A DETR's arrays, its mask head's by the names that VisTR's has for the same layers."""
    return {our_mask_head(name): value for name, value in arrays.items()}


def misshapen(arrays: Mapping[str, np.ndarray], channels: int) -> list[str]:
    """The names of queries and class rows that are not a DETR's of this width."""
    shapes = {name: arrays[name].shape for name in (QUERIES, WEIGHT, BIAS) if name in arrays}
    wrong = [name for name in (QUERIES, WEIGHT) if name in shapes and shapes[name][1:] != (channels,)]
    if shapes.get(BIAS, ()) != shapes.get(WEIGHT, ())[:1]:
        wrong.append(BIAS)
    return wrong


def queries_and_classes(
    model: VisTR,
    arrays: Mapping[str, np.ndarray],
    names: Sequence[str],
    fresh: Mapping[str, np.ndarray],
    clips: Iterable[Batch],
) -> dict[str, np.ndarray]:
    """Queries and class rows for `model`, which has the DETR's transformer already, of those in a DETR's `arrays`.

    `names` are the network's classes, `fresh` what it has now. A class that COCO has too takes its row (`coco_ids`). Of
    the queries those are taken that find most in `clips`, some of the training's (`firing`). Where the file has none,
    nothing is made.
    """
    if not all(name in arrays for name in (QUERIES, WEIGHT, BIAS)):
        logger.info("  queries and classes: the file has none, they are new")
        return {}
    last = len(arrays[BIAS]) - 1  # "no object"
    ids = {name: number for name, number in coco_ids(names).items() if number < last}
    same = {number: name for name, number in ids.items()}
    known = [same.get(row, "") for row in range(1, last)]
    made = {name: fit_classes(arrays[name], fresh[name], known, names, say=False) for name in (WEIGHT, BIAS)}
    coco = {number: name for name, number in COCO_IDS.items()}
    pairs = [f"{name} ({coco[number]})" for name, number in ids.items()]
    words = (shorten(some, 100) or "none" for some in (pairs, [name for name in names if name not in ids]))
    logger.info('  classes: from COCO\'s are %s, and "no object"; new are %s', *words)
    rows = sorted(ids.values()) or [number for number in COCO_IDS.values() if number < last]
    made[QUERIES] = _chosen(model, arrays[QUERIES], fresh[QUERIES], firing(model, arrays, rows, clips))
    return made


def firing(model: VisTR, arrays: Mapping[str, np.ndarray], rows: Sequence[int], clips: Iterable[Batch]) -> np.ndarray:
    """The probability that each of a DETR's queries gives the classes `rows` together, `[Q]`.

    It is the mean over the middle frames of the clips; the DETR sees every frame alone, in `model`, which has its
    weights.
    """
    detector, transformer = model.detector, cast(Any, model.detector.transformer)
    queries, weight = (np.asarray(arrays[name], np.float32) for name in (QUERIES, WEIGHT))
    middles: list[tuple[np.ndarray, np.ndarray]] = []
    for clip in clips:
        middle = (slice(1), slice(clip.padding.shape[1] // 2, clip.padding.shape[1] // 2 + 1))
        middles.append((clip.frames[middle].copy(), clip.padding[middle].copy()))  # the clip itself is let go
    if not middles:
        return np.zeros(len(queries))
    frames = _one_size([frames for frames, _ in middles], 0)
    padding = _one_size([padding for _, padding in middles], 1)
    images, context = model.prepare(frames, padding)
    tokens = detector.input_proj(detector.backbone(images, context.sizes)[3]).reshape(context.position.shape)
    seen = (context.position, context.key_padding_mask, None)
    memory = transformer.encoder(tokens, *seen)
    query = np.repeat(queries[None], len(frames), 0).astype(model.dtype)
    states = transformer.decoder(Tensor(query), memory, *seen)[-1].asnumpy()
    logits = states.astype(np.float32) @ weight.T + arrays[BIAS]
    found: np.ndarray = softmax(logits, -1)[..., list(rows)].sum(-1).mean(0)
    return found


def _one_size(arrays: Sequence[np.ndarray], filling: int) -> np.ndarray:
    """Arrays `[1, ...]` as one `[n, ...]`, the smaller filled up at the end of every axis."""
    largest = np.max([array.shape for array in arrays], 0)
    margins = [[(0, int(extra)) for extra in largest - array.shape] for array in arrays]
    return np.concatenate(
        [np.pad(array, margin, constant_values=filling) for array, margin in zip(arrays, margins, strict=True)]
    )


def _chosen(model: VisTR, queries: np.ndarray, fresh: np.ndarray, fires: np.ndarray) -> np.ndarray:
    """The queries of a clip `[T*N, C]`: the N that find most, in every frame alike, in the DETR's own order."""
    slots = min(model.num_instances, len(queries))
    best = np.sort(np.argsort(-fires, kind="stable")[:slots])
    fitted = fresh.reshape(-1, model.num_instances, fresh.shape[1]).copy()
    fitted[:, :slots] = queries[best]
    which = "all"
    if slots < len(queries):
        rule = "those that find most in the first training clips" if fires.any() else "the first"
        which = f"{rule}, {shorten(best.tolist(), 20)}"
    rest = f"; {model.num_instances - slots} slots are new" if slots < model.num_instances else ""
    logger.info("  queries: %d of DETR's %d (%s), the same in every frame%s", slots, len(queries), which, rest)
    return fitted.reshape(fresh.shape)
