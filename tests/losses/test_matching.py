"""Sequence matching and the supervision that follows from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vistr.data.clips import ClipTargets
from vistr.losses.matching import match_sequences
from vistr.losses.settings import Loss
from vistr.losses.supervision import Normalisers, Supervision, bucket, count_boxes, supervise

NUM_LOGITS, NO_OBJECT = 7, 6
LEFT, RIGHT = (0.2, 0.5, 0.2, 0.4), (0.8, 0.5, 0.3, 0.6)


def truth(labels: list[int], boxes: list[tuple[float, ...]], valid: npt.ArrayLike) -> ClipTargets:
    """Objects that stay where they are while they are seen; object i's mask has i + 1 pixels."""
    seen = np.array(valid, bool)
    masks = np.zeros((*seen.shape, 4, 8), np.uint8)
    for i, frames in enumerate(seen):
        masks[i, frames, 0, : i + 1] = 1
    everywhere = np.array(boxes, np.float32).reshape(-1, 1, 4) * seen[..., None].astype(np.float32)
    frames = list(range(seen.shape[1]))
    return ClipTargets(np.array(labels, np.int64), everywhere, seen, masks, 1, frames, (4, 8), (4, 8))


def predictions(num_frames: int, slots: list[tuple[int, tuple[float, ...]]]) -> tuple[np.ndarray, np.ndarray]:
    """Logits `[T*N, C+1]` and boxes `[T*N, 4]` of slots that say one label and one box in every frame."""
    logits = np.zeros((num_frames, len(slots), NUM_LOGITS), np.float32)
    for slot, (label, _) in enumerate(slots):
        logits[:, slot, label] = 5
    boxes = np.tile(np.array([box for _, box in slots], np.float32), (num_frames, 1, 1))
    return logits.reshape(-1, NUM_LOGITS), boxes.reshape(-1, 4)


def supervise_clip(targets: ClipTargets, logits: np.ndarray, boxes: np.ndarray, num_instances: int) -> Supervision:
    """Supervision of one clip and one layer."""
    supervision, _ = supervise(
        logits[None, None],
        boxes[None, None],
        [targets],
        num_instances=num_instances,
        loss=Loss(),
        normalisers=Normalisers(max(1, count_boxes([targets])), None),
    )
    return supervision


def test_frames_of_an_object_are_its_own_when_objects_match_in_crossed_order() -> None:
    # Issue 80 of the original: it read the valid frames of object j for the object matched j-th.
    brief, lasting = [True, False, False], [True, True, True]
    targets = truth([2, 3], [LEFT, RIGHT], [brief, lasting])
    logits, boxes = predictions(3, [(3, RIGHT), (2, LEFT)])
    match = match_sequences(logits, boxes, targets, Loss())
    assert (match.slots.tolist(), match.objects.tolist()) == ([0, 1], [1, 0])

    supervision = supervise_clip(targets, logits, boxes, 2)
    classes = supervision.classes.reshape(3, 2)
    assert classes[:, 0].tolist() == [3, 3, 3]
    assert classes[:, 1].tolist() == [2, NO_OBJECT, NO_OBJECT]
    seen = supervision.box_weights.reshape(3, 2) > 0
    assert seen.T.tolist() == [lasting, brief]
    target_boxes = supervision.boxes.reshape(3, 2, 4)
    np.testing.assert_allclose(target_boxes[:, 0], [RIGHT] * 3)
    np.testing.assert_allclose(target_boxes[0, 1], LEFT)
    assert (supervision.mask_weights > 0).tolist() == [lasting, brief]
    assert supervision.masks.sum((2, 3)).tolist() == [[2, 2, 2], [1, 0, 0]]
    assert supervision.query_rows.tolist() == [[0, 2, 4], [1, 3, 5]]
    assert supervision.frame_rows.tolist() == [[0, 1, 2], [0, 1, 2]]


def test_more_objects_than_slots_leave_the_dearest_unmatched() -> None:
    targets = truth([2, 4, 3], [LEFT, (0.5, 0.5, 0.1, 0.1), RIGHT], [[True, True]] * 3)
    logits, boxes = predictions(2, [(3, RIGHT), (2, LEFT)])
    match = match_sequences(logits, boxes, targets, Loss())
    assert dict(zip(match.slots.tolist(), match.objects.tolist(), strict=True)) == {0: 2, 1: 0}
    supervision = supervise_clip(targets, logits, boxes, 2)
    assert supervision.classes.ravel().tolist() == [3, 2, 3, 2]
    # The boxes of all objects are counted, as in the original.
    np.testing.assert_allclose(supervision.box_weights, 1 / 6)


def test_a_clip_without_objects_asks_for_no_object_everywhere() -> None:
    targets = truth([], [], np.zeros((0, 2)))
    logits, boxes = predictions(2, [(3, RIGHT), (2, LEFT)])
    assert len(match_sequences(logits, boxes, targets, Loss()).slots) == 0
    supervision = supervise_clip(targets, logits, boxes, 2)
    assert (supervision.classes == NO_OBJECT).all()
    np.testing.assert_allclose(supervision.class_weights, 0.25)
    assert supervision.masks.shape == (1, 2, 4, 8)
    assert supervision.box_weights.sum() == supervision.mask_weights.sum() == 0


def only(**cost: float) -> Loss:
    """One of the matching costs alone."""
    return replace(Loss(class_cost=0, box_cost=0, iou_cost=0), **cost)


def test_every_cost_has_its_say() -> None:
    # Slot 0 has the better class, slot 1 the better box, slot 2 a box as near but of less overlap.
    targets = truth([2], [LEFT], [[True]])
    thin = (LEFT[0], LEFT[1], LEFT[2] - 0.1, LEFT[3] + 0.1)
    near = (LEFT[0] + 0.04, LEFT[1], LEFT[2], LEFT[3])
    logits, boxes = predictions(1, [(2, RIGHT), (3, near), (3, thin)])
    for costs, slot in ((only(class_cost=1), 0), (only(box_cost=1), 1), (only(iou_cost=1), 1)):
        assert match_sequences(logits, boxes, targets, costs).slots.tolist() == [slot]


def test_logits_that_are_not_numbers_still_match() -> None:
    # The loss of such a step is not finite either: it is there that training stops, with a sentence.
    logits, boxes = predictions(2, [(3, RIGHT), (2, LEFT)])
    targets = truth([2], [LEFT], [[True, True]])
    assert len(match_sequences(np.full_like(logits, np.nan), boxes, targets, Loss()).slots) == 1
    assert len(match_sequences(logits, np.full_like(boxes, np.nan), targets, Loss()).slots) == 1


def test_class_weights_are_shared_by_the_batch() -> None:
    clips = [truth([2], [LEFT], [[True, True]]), truth([3, 2], [RIGHT, LEFT], [[True, True], [True, False]])]
    logits, boxes = predictions(2, [(3, RIGHT), (2, LEFT), (NO_OBJECT, LEFT)])
    supervision, matches = supervise(
        np.stack([logits, logits])[None],
        np.stack([boxes, boxes])[None],
        clips,
        num_instances=3,
        loss=Loss(),
        normalisers=Normalisers(count_boxes(clips), None),
    )
    assert [len(m.slots) for m in matches] == [1, 2]
    assert supervision.class_weights.sum() == np.float32(1)
    weight = 1 / (5 + 7 * 0.1)
    np.testing.assert_allclose(np.unique(supervision.class_weights), [0.1 * weight, weight], rtol=1e-6)
    np.testing.assert_allclose(np.unique(supervision.box_weights), [0, 1 / 6], rtol=1e-6)
    # The second clip's slots lie behind the first's, its frames too.
    assert supervision.query_rows.tolist() == [[1, 4], [6, 9], [7, 10]]
    assert supervision.frame_rows.tolist() == [[0, 1], [2, 3], [2, 3]]
    # Two at a time: the last group is filled up with a sequence of no weight.
    first, last = supervision.groups(2)
    assert [first[0].tolist(), last[0].tolist()] == [[[1, 4], [6, 9]], [[7, 10], [7, 10]]]
    assert last[3].tolist() == [supervision.mask_weights[2].tolist(), [0, 0]]


def test_sequences_are_padded_to_powers_of_two() -> None:
    assert [bucket(count, 10) for count in (0, 1, 2, 3, 4, 5, 8, 9, 10)] == [1, 1, 2, 4, 4, 8, 8, 10, 10]
    assert bucket(3, 3) == 3
