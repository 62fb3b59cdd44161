"""Video by video: which prediction stands for which annotated object, and how well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vistr.data.segmentation import sequence_iou
from vistr.evaluation.assignment import MAX_RESULTS
from vistr.evaluation.reading import Contents, ResultTrack, TruthTrack

# An object counts as found from this overlap on, the loosest threshold of the official evaluation.
FOUND_IOU = 0.5
# Two masks that hardly touch are no pair.
PAIR_IOU = 0.1


@dataclass(frozen=True)
class VideoPairs:
    """One video: its annotated objects and its predictions by falling score, each with its category id.

    pairs gives the prediction (its index) that stands for an object; iou [predictions, objects] are the overlaps
    through the whole video, whatever the categories.
    """

    video_id: int
    truth: Sequence[tuple[int, TruthTrack]]
    predictions: Sequence[tuple[int, ResultTrack]]
    pairs: dict[int, int]
    iou: NDArray[np.float64]

    @property
    def overlaps(self) -> list[float]:
        """For each object the overlap with the prediction that stands for it, 0 where there is none."""
        return [float(self.iou[self.pairs[i], i]) if i in self.pairs else 0.0 for i in range(len(self.truth))]

    @property
    def score(self) -> float | None:
        """The mean of `overlaps`; None where nothing is annotated."""
        return float(np.mean(self.overlaps)) if self.truth else None

    @property
    def num_found(self) -> int:
        """Objects with an overlap of at least FOUND_IOU."""
        return sum(overlap >= FOUND_IOU for overlap in self.overlaps)


def pair_video(contents: Contents, video_id: int, *, min_score: float = 0.0) -> VideoPairs:
    """Pairs objects with predictions of the same category so that the sum of their overlaps is largest.

    An object has at most one prediction and the other way round; pairs with an overlap under PAIR_IOU are none.
    Crowds and predictions under min_score are left out, and all but the best 100 predictions, as in the official
    evaluation.
    """
    truth = [
        (category, track)
        for (video, category), tracks in sorted(contents.truth.items())
        if video == video_id
        for track in tracks
        if not track.iscrowd
    ]
    predictions = [
        (category, track)
        for (video, category), tracks in sorted(contents.results.items())
        if video == video_id
        for track in tracks
        if track.score >= min_score
    ]
    predictions = sorted(predictions, key=lambda pair: -pair[1].score)[: MAX_RESULTS[-1]]
    iou, _ = sequence_iou([t.segmentations for _, t in predictions], [t.segmentations for _, t in truth])
    same = np.array([[ours == theirs for theirs, _ in truth] for ours, _ in predictions], bool).reshape(iou.shape)
    worth = np.where(same & (iou >= PAIR_IOU), iou, 0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    pairs = {int(column): int(row) for row, column in zip(rows, columns, strict=True) if worth[row, column] > 0}
    return VideoPairs(video_id, truth, predictions, pairs, iou)
