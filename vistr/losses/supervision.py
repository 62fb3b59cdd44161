"""Training targets of fixed shapes from the matches of slots and objects, so that few graphs are compiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vistr.data.clips import Batch, ClipTargets
from vistr.losses.ignored import finds_ignored
from vistr.losses.matching import Match, match_sequences
from vistr.losses.settings import Loss
from vistr.models.vistr import image_rows
from vistr.runtime import backend
from vistr.runtime.parallel import Ranks


class Supervision(NamedTuple):
    """Targets of L decoder layers, B clips, Q = T*N queries, and of K matched sequences (one of no weight if none)."""

    classes: np.ndarray
    """int32 `[L, B, Q]`; "no object" where nothing is matched."""
    class_weights: np.ndarray
    """float32 `[L, B, Q]`, divided by their sum over the batch."""
    boxes: np.ndarray
    """float32 `[L, B, Q, 4]`."""
    box_weights: np.ndarray
    """float32 `[L, B, Q]`: 1 / number of boxes where an object is seen, else 0."""
    query_rows: np.ndarray
    """int32 `[K, T]`: the query of every image of the last layer's matched sequences."""
    frame_rows: np.ndarray
    """int32 `[K, T]`: its frame."""
    masks: np.ndarray
    """uint8 `[K, T, H, W]`; int8 where clips have pixels that are not judged: these are -1."""
    mask_weights: np.ndarray
    """float32 `[K, T]`: 1 / number of boxes where the object is seen, else 0."""

    @property
    def query_targets(self) -> tuple[np.ndarray, ...]:
        """The targets of classes and boxes, in the order that the criterion takes them."""
        return (self.classes, self.class_weights, self.boxes, self.box_weights)

    def groups(self, size: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Query rows, frame rows, masks and mask weights of `size` sequences at a time.

        The last group is filled up with sequences of no weight.
        """
        mask_targets = (self.query_rows, self.frame_rows, self.masks, self.mask_weights)
        for start in range(0, len(self.masks), size):
            rows = np.minimum(np.arange(start, start + size), len(self.masks) - 1)
            *group, weights = (array[rows] for array in mask_targets)
            weights[len(self.masks) - start :] = 0
            yield (*group, weights)


class Normalisers(NamedTuple):
    """Divisors of the losses: sums over every clip that shares an optimizer step."""

    num_boxes: float
    """Objects times frames, at least 1."""
    class_weight: float | None
    """Sum of the class weights, None: of this batch as matched."""


def buckets(limit: int) -> list[int]:
    """The numbers of sequences, up to `limit`, that graphs are compiled for: on a GPU two, on a CPU powers of two.

    Padding costs time and memory, which on a CPU are dearer than compiling.
    """
    if backend.current() == "gpu":
        return sorted({min(max(4, limit * 2 // 5), limit), limit})
    return [*(2**i for i in range(limit.bit_length()) if 2**i < limit), limit]


def bucket(count: int, limit: int) -> int:
    """The padded number of sequences for `count` matched ones."""
    return next(size for size in buckets(limit) if size >= count)


def count_boxes(targets: Sequence[ClipTargets]) -> int:
    """Objects times frames of a batch, visible or not, as the original counts them."""
    return sum(t.valid.size for t in targets)


def group_normalisers(
    group: Sequence[Batch], num_slots: int, no_object_weight: float, *, ranks: Ranks | None = None
) -> Normalisers:
    """Divisors of the losses for batches that share an optimizer step, those of all ranks included.

    For one batch the class weights are summed as they are matched. Over several they must be known before the first
    is matched: every object is taken as matched, of a clip with more objects than slots those seen longest.
    """
    ranks = ranks or Ranks()
    num_boxes: float = sum(count_boxes(batch.targets) for batch in group)
    if len(group) * ranks.size == 1:
        return Normalisers(max(1, num_boxes), None)
    weight = 0.0
    for target in (t for batch in group for t in batch.targets):
        seen = int(np.sort(target.valid.sum(1))[::-1][:num_slots].sum())
        weight += seen + no_object_weight * (num_slots * len(target.frames) - seen)
    num_boxes, weight = ranks.sum([num_boxes, weight])
    return Normalisers(max(1, num_boxes), weight)


def supervise(
    logits: np.ndarray,
    boxes: np.ndarray,
    targets: Sequence[ClipTargets],
    *,
    num_instances: int,
    loss: Loss,
    normalisers: Normalisers,
) -> tuple[Supervision, list[Match]]:
    """Match every layer and lay out its targets; also the last layer's matches.

    `logits [L, B, Q, C+1]`, `boxes [L, B, Q, 4]`.
    """
    num_layers, batch, num_queries, num_logits = logits.shape
    classes = np.full((num_layers, batch, num_queries), num_logits - 1, np.int32)
    target_boxes = np.full((num_layers, batch, num_queries, 4), 0.5, np.float32)
    seen = np.zeros((num_layers, batch, num_queries), np.float32)
    ignored = np.zeros((num_layers, batch, num_queries), bool)
    matches: list[Match] = []
    for layer in range(num_layers):
        matches = [match_sequences(logits[layer, b], boxes[layer, b], t, loss) for b, t in enumerate(targets)]
        for b, (match, target) in enumerate(zip(matches, targets, strict=True)):
            for slot, instance in zip(match.slots, match.objects, strict=True):
                frames = np.flatnonzero(target.valid[instance])
                queries = frames * num_instances + slot
                classes[layer, b, queries] = target.labels[instance]
                target_boxes[layer, b, queries] = target.boxes[instance, frames]
                seen[layer, b, queries] = 1
            if target.ignored is not None:
                ignored[layer, b] = finds_ignored(boxes[layer, b], match.slots, target.boxes, target.ignored)
    weights = np.where(classes == num_logits - 1, np.float32(loss.no_object_weight), np.float32(1))
    total = weights.sum((1, 2), keepdims=True) if normalisers.class_weight is None else normalisers.class_weight
    weights[ignored] = 0
    query_rows, frame_rows, masks, mask_weights = _sequences(matches, targets, num_instances)
    num_boxes = np.float32(normalisers.num_boxes)
    return Supervision(
        classes,
        (weights / total).astype(np.float32),
        target_boxes,
        seen / num_boxes,
        query_rows,
        frame_rows,
        masks,
        mask_weights / num_boxes,
    ), matches


def _sequences(
    matches: Sequence[Match], targets: Sequence[ClipTargets], num_instances: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows, masks and visibility of the matched sequences of all clips; without any, those of one that is not seen."""
    num_frames, height, width = targets[0].masks.shape[1:]
    size = max(1, sum(len(m.slots) for m in matches))
    sequences = np.zeros(size, int)
    are_marked = any(target.outside is not None for target in targets)
    masks = np.zeros((size, num_frames, height, width), np.int8 if are_marked else np.uint8)
    seen = np.zeros((size, num_frames), np.float32)
    k = 0
    for b, (match, target) in enumerate(zip(matches, targets, strict=True)):
        for slot, instance in zip(match.slots, match.objects, strict=True):
            sequences[k] = b * num_instances + slot
            masks[k] = target.masks[instance]
            if target.outside is not None:
                masks[k, target.outside] = -1
            seen[k] = target.valid[instance]
            k += 1
    return (*image_rows(sequences, num_frames, num_instances), masks, seen)
