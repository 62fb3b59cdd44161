"""Objects of categories that a dataset lacks: a slot that finds one is not taught that there is nothing."""

from __future__ import annotations

import numpy as np

from vistr.losses.matching import box_iou

LEAST_IOU = 0.5


def finds_ignored(boxes: np.ndarray, matched: np.ndarray, objects: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Whether a query that is matched to nothing finds an object that is ignored: bool `[T*N]`.

    Its box overlaps one by LEAST_IOU, and none of the clip's own objects as much. `boxes [T*N, 4]` are the queries',
    `matched` the slots that have an object, `objects [O, T, 4]` and `ignored [M, T, 4]` (cx, cy, w, h), 0 where absent.
    """
    num_frames = ignored.shape[1]
    predicted = boxes.reshape(num_frames, -1, 4)
    overlap = _largest_iou(predicted, ignored)
    found = (overlap >= LEAST_IOU) & (overlap > _largest_iou(predicted, objects))
    found[:, matched] = False
    return found.reshape(-1)


def _largest_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of boxes `[T, N, 4]` the largest overlap with any of `[M, T, 4]`, `[T, N]`."""
    there = (others[..., 2:] > 0).all(-1).T[:, None]
    overlap = np.where(there, box_iou(boxes[:, :, None], others.transpose(1, 0, 2)[:, None]), 0)
    largest: np.ndarray = overlap.max(axis=2, initial=0)
    return largest
