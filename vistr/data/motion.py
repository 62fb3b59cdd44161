"""Random smooth motion of a picture through a clip: a window that glides, turns and zooms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vistr.data.settings import Augmentation, Motion
from vistr.data.transforms import draw_crop, resized
from vistr.data.warping import Warp

Values = NDArray[np.float64]


def draw_times(num_frames: int, rng: np.random.Generator) -> Values:
    """When the frames are taken, from 0 to 1: in order, at distances that differ by up to three times; `[T]`."""
    steps = rng.uniform(0.5, 1.5, num_frames)
    times: Values = np.cumsum(steps) - steps
    return times / max(times[-1], 1e-9) if num_frames > 1 else rng.random(1)


def draw_course(low: float, high: float, times: Values, rng: np.random.Generator) -> Values:
    """A value that goes evenly from one drawn between `low` and `high` to another, either way; `[T]`."""
    start, end = rng.uniform(low, high, 2)
    course: Values = start + (end - start) * times
    return course


def draw_warp(
    motion: Motion,
    augmentation: Augmentation,
    before: tuple[int, int],
    num_frames: int,
    short_side: int,
    long_side: int,
    rng: np.random.Generator,
) -> Warp:
    """A clip of a picture of `before` (height, width).

    The window is as large as the crop that `augmentation` draws of a video's frames; it glides over the picture while
    this turns and zooms about one point. It is resized to short_side / long_side.
    """
    height, width = before
    flipped = rng.random() < augmentation.flip
    window, size = (float(height), float(width)), before
    if augmentation.resize_short:
        # Of a video all is resized, which rounds: clips of pictures have the same sizes.
        size = resized(*size, int(rng.choice(augmentation.resize_short)), augmentation.resize_long)
    if augmentation.crop_resize_short:
        crop = draw_crop(augmentation, size, rng)
        size = crop.height, crop.width
        window = size[0] * height / crop.resize.after[0], size[1] * width / crop.resize.after[1]
    after = resized(*size, short_side, long_side)
    times = draw_times(num_frames, rng)
    # How far beyond the picture's edge the window may begin or end.
    rooms = [
        (-motion.shift * side, whole - side + motion.shift * side) for side, whole in zip(window, before, strict=True)
    ]
    tops, lefts = (draw_course(low, high, times, rng) for low, high in rooms)
    angles = np.radians(draw_course(-motion.rotation, motion.rotation, times, rng))
    zooms = np.exp(draw_course(-1, 1, times, rng) * np.log(motion.zoom) / 2)
    centre = rng.uniform(0.4, 0.6, 2) * (width, height)
    turns = turned(angles, 1 / zooms)
    # From a frame's place to the window's, which lies at (left, top) in the picture that was turned about its centre.
    scale = np.diag([window[1] / after[1] * (-1 if flipped else 1), window[0] / after[0]])
    corner = np.stack([lefts + (window[1] if flipped else 0), tops], axis=1)
    offsets = centre + np.einsum("tij,tj->ti", turns, corner - centre)
    return Warp(before, after, np.concatenate([turns @ scale, offsets[..., None]], axis=2))


def draw_pasted(
    box: tuple[float, float, float, float],
    before: tuple[int, int],
    after: tuple[int, int],
    motion: Motion,
    num_frames: int,
    rng: np.random.Generator,
) -> Warp:
    """An object in its `box` (x, y, width, height) of another picture, on its way over frames of `after`.

    Its longer side is a quarter to three fifths of the frames' shorter one.
    """
    times = draw_times(num_frames, rng)
    side = rng.uniform(0.25, 0.6) * min(after)
    sizes = side / max(box[2], box[3], 1.0) * np.exp(draw_course(-1, 1, times, rng) * np.log(motion.zoom) / 2)
    angles = np.radians(draw_course(-motion.rotation, motion.rotation, times, rng))
    flip = np.diag([-1.0 if rng.random() < 0.5 else 1.0, 1.0])
    place = np.stack([draw_course(-0.1, 1.1, times, rng) * length for length in after[::-1]], axis=1)
    linear = turned(angles, 1 / sizes) @ flip
    centre = np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])
    offsets = centre - np.einsum("tij,tj->ti", linear, place)
    return Warp(before, after, np.concatenate([linear, offsets[..., None]], axis=2))


def turned(angles: Values, scales: Values) -> Values:
    """The matrices `[T, 2, 2]` that turn by angles in radians and scale."""
    cos, sin = np.cos(angles) * scales, np.sin(angles) * scales
    matrices: Values = np.stack([cos, -sin, sin, cos], axis=-1).reshape(-1, 2, 2)
    return matrices
