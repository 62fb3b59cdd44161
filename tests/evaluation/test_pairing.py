"""Which prediction stands for which object of a video, and the score that follows from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vistr.data.segmentation import encode, to_json
from vistr.evaluation.pairing import VideoPairs, pair_video
from vistr.evaluation.reading import read


def mask(left: int, width: int = 10) -> dict[str, Any]:
    """A bar of 10 rows, `width` columns from column `left` on."""
    pixels = np.zeros((10, 100), bool)
    pixels[:, left : left + width] = True
    return to_json(encode(pixels))


def paired(
    objects: list[tuple[int, list[Any]]], predictions: list[tuple[int, float, list[Any]]], **settings: Any
) -> VideoPairs:
    truth = {
        "videos": [{"id": 7, "height": 10, "width": 100, "length": 2, "file_names": ["a/0.jpg", "a/1.jpg"]}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 1 + k, "video_id": 7, "category_id": category, "segmentations": masks, "iscrowd": 0,
             "areas": [100] * len(masks)}
            for k, (category, masks) in enumerate(objects)
        ],
    }  # fmt: skip
    results = [
        {"video_id": 7, "category_id": category, "score": score, "segmentations": masks}
        for category, score, masks in predictions
    ]
    return pair_video(read(truth, results), 7, **settings)


def test_the_score_is_the_mean_overlap_through_the_video_and_a_missed_object_counts_nothing() -> None:
    pairs = paired(
        [(1, [mask(0), mask(0)]), (1, [mask(50), mask(50)])],
        [(1, 0.9, [mask(0), None])],  # right in one frame of two: IoU 100 / 200
    )
    assert pairs.pairs == {0: 0}
    assert pairs.overlaps == [pytest.approx(0.5), 0]
    assert pairs.score == pytest.approx(0.25)
    assert pairs.num_found == 1


def test_pairs_are_one_to_one_and_the_best_sum_wins() -> None:
    # The first prediction overlaps both objects and suits the first one better, but only it reaches the second.
    pairs = paired(
        [(1, [mask(0), mask(0)]), (1, [mask(8), mask(8)])],
        [(1, 0.9, [mask(4), mask(4)]), (1, 0.3, [mask(0), mask(0)])],
    )
    assert pairs.pairs == {0: 1, 1: 0}
    assert pairs.score == pytest.approx((1 + 6 / 14) / 2)


def test_another_category_and_masks_that_hardly_touch_are_no_pair() -> None:
    wrong = paired([(1, [mask(0), mask(0)])], [(2, 0.9, [mask(0), mask(0)])])
    assert wrong.pairs == {}
    assert wrong.score == 0
    assert wrong.iou.tolist() == [[1.0]]
    touching = paired([(1, [mask(0), mask(0)])], [(1, 0.9, [mask(9), mask(9)])])
    assert touching.pairs == {}


def test_predictions_come_by_falling_score_and_low_ones_are_left_out() -> None:
    given = [(1, 0.2, [mask(0), mask(0)]), (2, 0.9, [mask(0), mask(0)]), (1, 0.5, [mask(50), mask(50)])]
    pairs = paired([(1, [mask(0), mask(0)])], given, min_score=0.4)
    assert [track.score for _, track in pairs.predictions] == [0.9, 0.5]
    assert pairs.score == 0
    assert paired([(1, [mask(0), mask(0)])], given).score == 1


def test_without_objects_there_is_no_score() -> None:
    pairs = paired([], [(1, 0.9, [mask(0), mask(0)])])
    assert pairs.score is None
    assert pairs.num_found == 0
    assert len(pairs.predictions) == 1
