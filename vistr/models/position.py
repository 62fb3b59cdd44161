"""Sine position code of a clip's places: VisTR's over three axes (the paper's section 3.2), DETR's over two."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np


def position_code(padding: np.ndarray, channels: int, axes: tuple[int, ...] = (1, 2, 3)) -> np.ndarray:
    """Sine code of some axes of frame, row and column (1, 2, 3), the channels shared evenly.

    `padding` bool `[B, T, h, w]` (True = padding) is not counted; the result is float32 `[B, T*h*w, channels]`.
    `channels` must be a multiple of twice the axes. The few masks that a dataset's size buckets give are computed once.
    """
    return _cached(padding.tobytes(), padding.shape, channels, axes)


@lru_cache(maxsize=16)
def _cached(content: bytes, shape: tuple[int, int, int, int], channels: int, axes: tuple[int, ...]) -> np.ndarray:
    seen = ~np.frombuffer(content, bool).reshape(shape)
    width = channels // len(axes)
    frequency = np.float32(10000) ** (2 * (np.arange(width) // 2).astype(np.float32) / width)
    codes: list[np.ndarray] = []
    for axis in axes:
        place = np.cumsum(seen, axis, dtype=np.float32)
        last = np.take(place, [-1], axis)
        angle = (place / (last + np.float32(1e-6)) * np.float32(2 * math.pi))[..., None] / frequency
        pairs = np.stack([np.sin(angle[..., 0::2]), np.cos(angle[..., 1::2])], -1)
        codes.append(pairs.reshape(*shape, width))
    code: np.ndarray = np.concatenate(codes, -1).astype(np.float32).reshape(shape[0], -1, channels)
    return code


def padding_of_map(sizes: np.ndarray, stride: int, num_frames: int, height: int, width: int) -> np.ndarray:
    """Padding of maps of a stride, for clips of `sizes [B, 2]` (height, width): bool `[B, num_frames, height, width]`.

    A stride that the picture has begun is the picture's, as in the convolutions' outputs.
    """
    seen = -(-sizes // stride)
    rows, columns = np.arange(height) >= seen[:, :1], np.arange(width) >= seen[:, 1:]
    padding = rows[:, None, :, None] | columns[:, None, None, :]
    return np.repeat(padding, num_frames, 1)
