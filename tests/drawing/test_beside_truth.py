"""Predictions and annotated objects as the two sides of a report."""

from __future__ import annotations

import numpy as np

from vistr.data.segmentation import RLE, encode
from vistr.data.videos import Video
from vistr.drawing.beside_truth import fitting, report_tracks
from vistr.evaluation.pairing import VideoPairs
from vistr.evaluation.reading import ResultTrack, TruthTrack

NAMES = {1: "cat", 2: "dog"}
VIDEO = Video(7, 8, 12, ("a/0.jpg", "a/1.jpg"), ())


def mask(height: int = 8, width: int = 12) -> RLE:
    return encode(np.ones((height, width), bool))


def result(index: int, score: float) -> ResultTrack:
    return ResultTrack(index, [mask(), None], 96, score)


def example() -> VideoPairs:
    """Three objects: a cat found, a cat taken for a dog, a dog missed; and a second prediction of the first."""
    truth = [
        (category, TruthTrack(number, [mask(), mask()], 96, False)) for number, category in ((5, 1), (6, 1), (9, 2))
    ]
    predictions = [(2, result(0, 0.9)), (1, result(1, 0.8)), (1, result(2, 0.3)), (1, result(3, 0.2))]
    iou = np.array([[0.0, 0.7, 0.0], [0.8, 0.0, 0.0], [0.6, 0.0, 0.0], [0.0, 0.0, 0.2]])
    return VideoPairs(7, truth, predictions, {0: 1}, iou)


def test_a_prediction_that_stands_for_an_object_carries_its_number() -> None:
    tracks = report_tracks(example(), VIDEO, NAMES)
    assert [(t.id, t.category, t.score) for t in tracks if not t.truth] == [
        (3, "dog", 0.9),
        (0, "cat", 0.8),
        (4, "cat", 0.3),
        (5, "cat", 0.2),
    ]
    assert [(t.id, t.category, t.score) for t in tracks if t.truth] == [
        (0, "cat", None),
        (1, "cat", None),
        (2, "dog", None),
    ]


def test_each_side_says_what_became_of_it() -> None:
    notes = [track.note for track in report_tracks(example(), VIDEO, NAMES)]
    assert notes == [
        "covers 1, annotated as cat",
        "overlap 0.80",
        "covers 0 once more",
        "no annotated object",
        "found, overlap 0.80",
        "missed, taken for dog by 3",
        "missed",
    ]


def test_masks_that_do_not_fit_the_video_are_left_out() -> None:
    assert fitting([mask(), mask(12, 8), mask()], VIDEO) == [mask(), None]
