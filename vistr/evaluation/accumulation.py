"""From matches to precision and recall, and from these to the 12 official figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vistr.evaluation.assignment import AREA_RANGES, IOU_THRESHOLDS, MAX_RESULTS, GroupMatches

RECALL_GRID: NDArray[np.float64] = np.linspace(0, 1, 101)

# Name: (precision or recall, index of the threshold or None for the mean of all, area range, results a video
# and category), in the official order.
FIGURES: dict[str, tuple[str, int | None, str, int]] = {
    "AP": ("precision", None, "all", 100),
    "AP50": ("precision", 0, "all", 100),
    "AP75": ("precision", 5, "all", 100),
    "APs": ("precision", None, "small", 100),
    "APm": ("precision", None, "medium", 100),
    "APl": ("precision", None, "large", 100),
    "AR1": ("recall", None, "all", 1),
    "AR10": ("recall", None, "all", 10),
    "AR100": ("recall", None, "all", 100),
    "ARs": ("recall", None, "small", 100),
    "ARm": ("recall", None, "medium", 100),
    "ARl": ("recall", None, "large", 100),
}


@dataclass(frozen=True)
class Curves:
    """precision [area ranges, max results, thresholds, recall grid] and final recall [.., .., thresholds] of
    one category; -1 where it has no object to be found."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def category_curves(groups: Sequence[GroupMatches]) -> Curves:
    """The curves of one category from its videos' matches, in ascending order of video id.

    The order decides between equal scores.
    """
    shape = (len(AREA_RANGES), len(MAX_RESULTS), len(IOU_THRESHOLDS))
    precision, recall = np.full((*shape, len(RECALL_GRID)), -1.0), np.full(shape, -1.0)
    for column, limit in enumerate(MAX_RESULTS):
        scores = np.concatenate([group.scores[:limit] for group in groups] or [np.empty(0)])
        order = np.argsort(-scores, kind="stable")
        for place in range(len(AREA_RANGES)):
            num_objects = sum(int(group.num_objects[place]) for group in groups)
            if not num_objects:
                continue
            hit = np.concatenate([group.hit[place, :, :limit] for group in groups], axis=1)[:, order]
            ignored = np.concatenate([group.ignored[place, :, :limit] for group in groups], axis=1)[:, order]
            for row in range(len(IOU_THRESHOLDS)):
                kept = hit[row][~ignored[row]]
                precision[place, column, row], recall[place, column, row] = _curve(kept, num_objects)
    return Curves(precision, recall)


def _curve(hit: NDArray[np.bool_], num_objects: int) -> tuple[NDArray[np.float64], float]:
    """Precision at every recall of the grid (0 where it is not reached) and the final recall."""
    if not len(hit):
        return np.zeros(len(RECALL_GRID)), 0.0
    found = np.cumsum(hit)
    recall = found / num_objects
    precision = found / (np.arange(1, len(hit) + 1) + np.spacing(1))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(recall, RECALL_GRID, side="left")
    return np.append(envelope, 0.0)[reached], float(recall[-1])


def figures(categories: Sequence[Curves]) -> dict[str, float]:
    """The 12 official figures, each a mean over the categories it is defined for; -1 where there is none."""
    result = {}
    for name, (kind, threshold, area_range, limit) in FIGURES.items():
        place, column = list(AREA_RANGES).index(area_range), MAX_RESULTS.index(limit)
        rows = slice(None) if threshold is None else slice(threshold, threshold + 1)
        values = [getattr(curves, kind)[place, column, rows].ravel() for curves in categories]
        defined = [value for value in values if value[0] > -1]
        result[name] = float(np.mean(np.concatenate(defined))) if defined else -1.0
    return result
