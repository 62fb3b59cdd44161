"""Which frames make a clip, and what a clip is once loaded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vistr.data.videos import VideoSet


@dataclass
class ClipTargets:
    """The N objects of a clip of T frames; where one is absent, `valid` is False and box and mask are 0.

    labels [N]; boxes [N, T, 4] as (centre x, centre y, width, height) in [0, 1] of the clip's own unpadded
    `size` (height, width); valid [N, T]; masks [N, T, H, W] 0 or 1 at the padded size of the network's input.
    `frames` are the clip's frame numbers in the video, `original_size` the video's (height, width), `source` the part
    of a mixture it is of.

    `outside` [T, H, W] is True where a frame shows nothing of a picture that moves: no mask is judged there.
    `ignored` [M, T, 4] are boxes of objects that are not to be found, nor taught to be nothing; 0 where one is absent.
    """

    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    valid: NDArray[np.bool_]
    masks: NDArray[np.uint8]
    video_id: int
    frames: list[int]
    size: tuple[int, int]
    original_size: tuple[int, int]
    source: str = ""
    outside: NDArray[np.bool_] | None = None
    ignored: NDArray[np.float32] | None = None


@dataclass
class Batch:
    """frames [B, T, H, W, 3] RGB, 0 where padding [B, T, H, W] is True; one target a clip."""

    frames: NDArray[np.uint8]
    padding: NDArray[np.bool_]
    targets: list[ClipTargets]


def clip_index(video_set: VideoSet) -> list[tuple[int, int]]:
    """(video index, last frame) of every clip of an epoch: each frame is the last of one clip."""
    return [(index, frame) for index, video in enumerate(video_set.videos) for frame in range(len(video))]


def clip_frames(last_frame: int, video_length: int, num_frames: int) -> list[int]:
    """The num_frames frames that end in `last_frame`, as the original samples them for training.

    Frames before the first wrap round to the video's end, so a video shorter than the clip repeats.
    """
    return [(last_frame - back) % video_length for back in reversed(range(num_frames))]
