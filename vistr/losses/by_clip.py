"""Losses of every clip of a batch by itself, for the records: on the host, from what matching has there already."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from vistr.losses.supervision import Supervision

BY_CLIP = ("class", "box")


def losses_by_clip(
    logits: NDArray[np.float32], boxes: NDArray[np.float32], supervision: Supervision, focal_gamma: float = 0.0
) -> dict[str, NDArray[np.float64]]:
    """What every clip adds to the class and box losses of the last layer, `[B]` each.

    `logits [B, Q, C+1]`, `boxes [B, Q, 4]`.
    """
    found = log_softmax(logits.astype(np.float64), -1)
    found = np.take_along_axis(found, supervision.classes[-1][..., None].astype(np.int64), -1)[..., 0]
    weights = supervision.class_weights[-1] * (1 - np.exp(found)) ** focal_gamma
    distances = np.abs(boxes.astype(np.float64) - supervision.boxes[-1]).sum(-1)
    return {"class": -(found * weights).sum(1), "box": (distances * supervision.box_weights[-1]).sum(1)}
