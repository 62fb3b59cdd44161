"""From the network's outputs for one clip to tracks: class, score and masks at the video's own size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from vistr.data.segmentation import RLE, area, encode

# Below this score of a frame the original writes no mask.
ABSENT_SCORE = 0.001


@dataclass(frozen=True)
class ClipTrack:
    """The track of one slot in a clip of T frames.

    labels int64 [T] and scores float32 [T]: the frame's best class (the index of its logit) and its
    probability; probabilities float32 [classes]: the mean over the frames, "no object" left out;
    segmentations: T masks at the video's size, None where the object is absent.
    """

    slot: int
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    segmentations: list[RLE | None]


def clip_tracks(
    logits: NDArray[np.float32],
    masks: NDArray[np.float32],
    *,
    valid_size: tuple[int, int],
    video_size: tuple[int, int],
    num_valid_frames: int,
) -> list[ClipTrack]:
    """The tracks of one clip by the original's rules (its inference.py), as RLE.

    logits [T, N, K + 2], the last one "no object"; masks [T, N, h, w], logits at a quarter of the network's input.
    Sizes are (height, width): the frames' within that input, before padding, and the video's. Frames from
    num_valid_frames on (repeats that fill up a short video) are dropped. A slot without a single mask pixel
    gives no track; a frame whose score is under 0.001 is absent.
    """
    probabilities = softmax(logits[:num_valid_frames], -1)[..., :-1]
    scores, labels = probabilities.max(-1), probabilities.argmax(-1)
    masks = masks[:, :, : math.ceil(valid_size[0] / 4), : math.ceil(valid_size[1] / 4)]
    rows, columns = _interpolation(video_size[0], masks.shape[2]), _interpolation(video_size[1], masks.shape[3])
    tracks = []
    for slot in range(masks.shape[1]):
        rles = [encode(_resized(mask, rows, columns)) for mask in masks[:num_valid_frames, slot]]
        if any(area(rle) for rle in rles):
            seen = [rle if score >= ABSENT_SCORE else None for rle, score in zip(rles, scores[:, slot], strict=True)]
            mean = probabilities[:, slot].mean(0)
            tracks.append(ClipTrack(slot, labels[:, slot], scores[:, slot], mean, seen))
    return tracks


def _interpolation(num_pixels: int, num_cells: int) -> NDArray[np.float32]:
    """The matrix [num_pixels, num_cells] of a bilinear resize (corners not aligned) along one axis."""
    position = (np.arange(num_pixels) + 0.5) * (num_cells / num_pixels) - 0.5
    position = position.clip(0, num_cells - 1)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, num_cells - 1)
    matrix = np.zeros((num_pixels, num_cells), np.float32)
    pixels = np.arange(num_pixels)
    matrix[pixels, low] += 1 - (position - low)
    matrix[pixels, high] += position - low
    return matrix


def _resized(mask: NDArray[np.float32], rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where one mask's logits [h, w], resized to the video's size, are positive: [height, width]."""
    # Filled by columns, as run-length codes are; only where some cell that a pixel reads is positive.
    inside = np.zeros((len(columns), len(rows)), bool)
    positive = mask > 0
    near_y = np.flatnonzero(rows[:, positive.any(1)].any(1))
    near_x = np.flatnonzero(columns[:, positive.any(0)].any(1))
    # A positive cell may lie between those that the pixels of a smaller video read.
    if len(near_y) and len(near_x):
        y, x = slice(near_y[0], near_y[-1] + 1), slice(near_x[0], near_x[-1] + 1)
        inside[x, y] = columns[x] @ mask.T @ rows[y].T > 0
    return inside.T
