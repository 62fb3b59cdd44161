"""Instance sequence matching (the paper's section 3.3): whole predicted sequences to whole objects, on the host."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax

from vistr.data.clips import ClipTargets
from vistr.losses.settings import Loss

EPSILON = np.float32(1e-6)


@dataclass(frozen=True)
class Match:
    """Slots of one clip and the objects they are matched to: two int arrays `[M]`."""

    slots: np.ndarray
    objects: np.ndarray


def match_sequences(logits: np.ndarray, boxes: np.ndarray, targets: ClipTargets, costs: Loss) -> Match:
    """Match the slots of one clip to its objects at least cost, averaged over the clip's frames.

    `logits [T*N, C+1]`, `boxes [T*N, 4]`. In a frame without the object the original counts class 0 and an empty
    box, and so does this. More objects than slots leave the dearest objects unmatched. Which frames of a matched
    object are supervised is decided by *its own* visibility (the original's issue 80).
    """
    num_objects, num_frames = targets.valid.shape
    if num_objects == 0:
        none = np.zeros(0, int)
        return Match(none, none)
    num_slots = len(logits) // num_frames
    probabilities = softmax(logits, -1).reshape(num_frames, num_slots, -1)
    frames = np.arange(num_frames)
    labels = np.where(targets.valid, targets.labels[:, None], 0)
    class_cost = -probabilities[frames[None, :], :, labels].mean(1).T
    predicted = boxes.reshape(num_frames, num_slots, 4).transpose(1, 0, 2)[:, None]
    box_cost = np.abs(predicted - targets.boxes[None]).mean((2, 3))
    iou_cost = -box_iou(predicted, targets.boxes[None]).mean(2)
    cost = costs.class_cost * class_cost + costs.box_cost * box_cost + costs.iou_cost * iou_cost
    # Outputs that are not numbers match anyhow: their loss is none either, and that is what training reports.
    slots, objects = linear_sum_assignment(np.nan_to_num(cost))
    return Match(slots, objects)


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Plain IoU pair by pair, `[..., 4]` (cx, cy, w, h) each."""
    low = np.maximum(boxes[..., :2] - boxes[..., 2:] / 2, others[..., :2] - others[..., 2:] / 2)
    high = np.minimum(boxes[..., :2] + boxes[..., 2:] / 2, others[..., :2] + others[..., 2:] / 2)
    intersection = np.clip(high - low, 0, None).prod(-1)
    union = boxes[..., 2:].prod(-1) + others[..., 2:].prod(-1) - intersection
    iou: np.ndarray = (intersection + EPSILON) / (union + EPSILON)
    return iou
