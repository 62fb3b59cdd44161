"""What is not judged: objects of other categories in the class loss, pixels outside a picture in the mask losses."""

from __future__ import annotations

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from tests.numeric import random
from vistr.data.clips import ClipTargets
from vistr.layers.padding import sizes_at
from vistr.layers.resize import resize_bilinear
from vistr.losses.criterion import MASK_LOSSES, mask_losses
from vistr.losses.ignored import finds_ignored
from vistr.losses.settings import Loss
from vistr.losses.supervision import Normalisers, Supervision, supervise

OBJECT, OTHER, THIRD = [0.3, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.3], [0.5, 0.2, 0.1, 0.1]
NUM_FRAMES, SLOTS, CLASSES = 2, 4, 3


def targets(**changes: np.ndarray | None) -> ClipTargets:
    """One object that is seen in both frames of 8x8 pixels."""
    return ClipTargets(
        labels=np.array([1]),
        boxes=np.array([[OBJECT] * NUM_FRAMES], np.float32),
        valid=np.ones((1, NUM_FRAMES), bool),
        masks=np.ones((1, NUM_FRAMES, 8, 8), np.uint8),
        video_id=1,
        frames=[0] * NUM_FRAMES,
        size=(8, 8),
        original_size=(8, 8),
        **changes,
    )


def ignored(*boxes: list[float]) -> np.ndarray:
    """Objects in both frames."""
    return np.array([[box] * NUM_FRAMES for box in boxes], np.float32)


def supervised(boxes: np.ndarray, target: ClipTargets, total: float | None = None) -> Supervision:
    logits = np.zeros((2, 1, NUM_FRAMES * SLOTS, CLASSES + 1), np.float32)
    layers = np.stack([np.zeros_like(boxes) + 0.5, boxes])[:, None]
    settings = {"num_instances": SLOTS, "loss": Loss(), "normalisers": Normalisers(1, total)}
    return supervise(logits, layers.astype(np.float32), [target], **settings)[0]


def test_a_slot_that_finds_an_ignored_object_is_not_taught_that_there_is_nothing() -> None:
    boxes = np.array([[OBJECT, OTHER, THIRD, OBJECT], [OBJECT, THIRD, OTHER, OTHER]]).reshape(-1, 4)
    plain, spared = supervised(boxes, targets()), supervised(boxes, targets(ignored=ignored(OTHER)))
    finds = np.array([[0, 1, 0, 0], [0, 0, 1, 1]], bool).reshape(-1)
    np.testing.assert_array_equal(spared.class_weights[1, 0] == 0, finds)
    assert (spared.class_weights[0] > 0).all()
    # All else stays, the divisor too.
    np.testing.assert_array_equal(spared.class_weights[1, 0][~finds], plain.class_weights[1, 0][~finds])
    for name in ("classes", "boxes", "box_weights", "query_rows", "masks", "mask_weights"):
        np.testing.assert_array_equal(getattr(spared, name), getattr(plain, name))


@pytest.mark.parametrize(
    ("box", "others", "found"),
    [
        (OTHER, [OTHER], True),
        ([0.7, 0.7, 0.2, 0.16], [OTHER], True),  # an IoU of 0.53
        ([0.7, 0.7, 0.2, 0.14], [OTHER], False),  # 0.47
        (OBJECT, [[0.3, 0.3, 0.2, 0.21]], False),  # the clip's own object is nearer
        ([0.3, 0.3, 0.2, 0.21], [[0.3, 0.3, 0.2, 0.22]], True),
        ([0, 0, 0, 0], [[0, 0, 0, 0]], False),  # absent
        (OTHER, [], False),
    ],
)
def test_it_overlaps_one_by_half_and_more_than_any_object_of_the_clip(
    box: list[float], others: list[list[float]], found: bool
) -> None:
    boxes = np.array([[OBJECT, box]] * NUM_FRAMES, np.float32).reshape(-1, 4)
    those = ignored(*others).reshape(-1, NUM_FRAMES, 4)
    taught = np.array([[OBJECT] * NUM_FRAMES], np.float32)
    result = finds_ignored(boxes, np.array([0]), taught, those).reshape(NUM_FRAMES, 2)
    np.testing.assert_array_equal(result, [[False, found]] * NUM_FRAMES)
    matched = finds_ignored(boxes, np.array([0, 1]), taught, those)
    assert not matched.any()


def test_pixels_outside_are_marked_in_the_targets_and_only_there() -> None:
    boxes = np.array([OBJECT] * NUM_FRAMES * SLOTS)
    outside = np.zeros((NUM_FRAMES, 8, 8), bool)
    outside[1, 5:] = True
    assert supervised(boxes, targets()).masks.dtype == np.uint8
    masks = supervised(boxes, targets(outside=outside)).masks
    assert masks.dtype == np.int8
    np.testing.assert_array_equal(masks[0], np.where(outside, -1, 1))
    none = replace(targets(outside=outside), labels=np.zeros(0, int), boxes=np.zeros((0, NUM_FRAMES, 4), np.float32))
    none = replace(none, valid=np.zeros((0, NUM_FRAMES), bool), masks=np.zeros((0, NUM_FRAMES, 8, 8), np.uint8))
    assert supervised(boxes, none).masks.dtype == np.int8


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("natively", [False, True])
@pytest.mark.parametrize("size", [None, (6, 7)])
def test_mask_losses_are_those_of_the_judged_pixels_alone(natively: bool, size: tuple[int, int] | None) -> None:
    small, truth = Tensor(random(0, 2, 2, 2, 2)), (random(1, 2, 2, 8, 8) > 0).astype(np.int8)
    judged = random(2, 2, 2, 8, 8) > -0.3
    judged[0, 1] = False  # a frame that shows nothing of the picture
    marked = np.where(judged, truth, -1).astype(np.int8)
    sizes = None if size is None else Tensor(np.array([size] * 2, np.float32))
    if size is not None:
        judged = judged & (np.arange(8)[:, None] < size[0]) & (np.arange(8) < size[1])

    found = dict(zip(MASK_LOSSES, mask_losses(small, Tensor(marked), sizes, sums_natively=natively), strict=True))
    logits = resize_bilinear(small.reshape(4, 2, 2), 8, 8, sizes_at(sizes, 4), sizes).asnumpy().reshape(2, 2, 8, 8)
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    right = np.where(truth == 1, probability, 1 - probability)
    focal = -np.where(truth == 1, 0.25, 0.75) * (1 - right) ** 2 * np.log(right)
    number = np.maximum(judged.sum((2, 3)), 1)
    np.testing.assert_allclose(found["mask"].asnumpy(), (focal * judged).sum((2, 3)) / number, rtol=1e-5, atol=1e-9)
    overlap, both = ((values * judged).sum((2, 3)) for values in (probability * truth, probability + truth))
    np.testing.assert_allclose(found["dice"].asnumpy(), 1 - (2 * overlap + 1) / (both + 1), rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("natively", [False, True])
def test_pixels_that_are_not_judged_have_no_gradient(natively: bool) -> None:
    truth = random(1, 1, 2, 8, 8)
    marked = np.where(truth > 0.5, -1, truth > 0).astype(np.int8)

    def total(masks: Tensor) -> Tensor:
        focal, dice = mask_losses(masks, Tensor(marked), sums_natively=natively)
        return focal.sum() + dice.sum()

    gradient = ms.grad(total)(Tensor(random(0, 1, 2, 8, 8))).asnumpy()
    np.testing.assert_array_equal(gradient == 0, marked < 0)


@pytest.mark.usefixtures("cpu")
def test_marks_that_mark_nothing_change_nothing() -> None:
    logits, truth = random(0, 2, 3, 4, 4), (random(1, 2, 3, 16, 16) > 0).astype(np.uint8)
    sizes = Tensor(np.array([(16, 12), (9, 16)], np.float32))
    for ours, plain in zip(
        *(mask_losses(Tensor(logits), Tensor(truth.astype(kind)), sizes) for kind in (np.int8, np.uint8)), strict=True
    ):
        np.testing.assert_allclose(ours.asnumpy(), plain.asnumpy(), rtol=1e-6)
