"""Which predicted track finds which annotated object: the greedy assignment of the official evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vistr.data.segmentation import sequence_iou
from vistr.evaluation.reading import ResultTrack, TruthTrack

# linspace, not a list of decimals: its ninth value is 0.8999999999999999, as in the official evaluation.
IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
# In pixels, both ends included.
AREA_RANGES = {
    "all": (0.0, 1e10),
    "small": (0.0, 128.0**2),
    "medium": (128.0**2, 256.0**2),
    "large": (256.0**2, 1e10),
}
MAX_RESULTS = (1, 10, 100)


@dataclass(frozen=True)
class GroupMatches:
    """The outcome for one video and category: results by falling score, at most MAX_RESULTS[-1] of them.

    scores [D]; hit and ignored [area ranges, thresholds, D]; num_objects [area ranges] counts the objects
    that are to be found; iou [D, G] and indices (positions in the results, D) tell what the matches rest on.
    """

    scores: NDArray[np.float64]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    num_objects: NDArray[np.int64]
    num_truth: int
    indices: list[int]
    iou: NDArray[np.float64]


def match_group(truth: list[TruthTrack], results: list[ResultTrack]) -> GroupMatches:
    """Match the tracks of one video and category at every area range and threshold.

    A result that finds nothing and lies outside the area range is ignored; one that finds a crowd or an
    object outside the range is ignored with it.
    """
    results = sorted(results, key=lambda result: -result.score)[: MAX_RESULTS[-1]]
    iou, _ = sequence_iou([r.segmentations for r in results], [t.segmentations for t in truth])
    shape = (len(AREA_RANGES), len(IOU_THRESHOLDS), len(results))
    hit, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    num_objects = np.zeros(len(AREA_RANGES), np.int64)
    for place, (low, high) in enumerate(AREA_RANGES.values()):
        optional = [t.iscrowd or not low <= t.area <= high for t in truth]
        outside = np.array([not low <= r.area <= high for r in results], bool)
        num_objects[place] = len(truth) - sum(optional)
        for row, threshold in enumerate(IOU_THRESHOLDS.tolist()):
            hit[place, row], ignored[place, row] = _assign(truth, optional, iou, threshold)
        ignored[place] |= ~hit[place] & outside
    scores, indices = np.array([r.score for r in results], np.float64), [r.index for r in results]
    return GroupMatches(scores, hit, ignored, num_objects, len(truth), indices, iou)


def _assign(
    truth: list[TruthTrack], optional: list[bool], iou: NDArray[np.float64], threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Each result in turn takes the best object still free: (hit, ignored), each [D].

    Objects to be found come before optional ones; of equal overlaps the later object wins; a crowd is never
    used up.
    """
    hit, ignored = np.zeros(len(iou), bool), np.zeros(len(iou), bool)
    taken: set[int] = set()
    for row in np.flatnonzero((iou >= threshold).any(1)):
        overlap = iou[row].tolist()
        free = [
            column
            for column, track in enumerate(truth)
            if overlap[column] >= threshold and (track.iscrowd or column not in taken)
        ]
        wanted = [column for column in free if not optional[column]] or free
        if wanted:
            best = max(wanted, key=lambda column: (overlap[column], column))
            taken.add(best)
            # The official evaluation notes a hit as the annotation's id and so never sees one of id 0.
            hit[row] = truth[best].id != 0
            ignored[row] = optional[best]
    return hit, ignored
