"""Whether clips show more objects than the network has slots."""

from __future__ import annotations

import numpy as np

from vistr.data.clips import clip_frames
from vistr.data.videos import Video, VideoSet


def overfull(video_set: VideoSet, num_frames: int, num_instances: int) -> str | None:
    """A sentence where clips show more objects than there are slots; None where all have room.

    It counts videos, and the share of objects (each once in every clip that shows it) without a slot.
    """
    if all(len(video.annotations) <= num_instances for video in video_set.videos):
        return None
    crowded, largest, lost, total = 0, 0, 0, 0
    for video in video_set.videos:
        counts = _objects_of_clips(video, num_frames)
        total += int(counts.sum())
        over = int(np.maximum(counts - num_instances, 0).sum())
        lost += over
        crowded += over > 0
        largest = max(largest, int(counts.max(initial=0)))
    if not lost:
        return None
    return (
        f"{crowded} of {len(video_set.videos)} videos show more objects in {num_frames} frames than num_instances="
        f"{num_instances} has slots for (up to {largest}): {lost / total:.1%} of the objects can be neither learnt nor"
        f" found; num_instances={largest} has room for all, and takes more memory and time."
    )


def _objects_of_clips(video: Video, num_frames: int) -> np.ndarray:
    """The number of objects seen in the clip that ends in each frame."""
    objects = [annotation for annotation in video.annotations if not annotation.iscrowd]
    seen = np.array([[box is not None for box in one.boxes] for one in objects], bool).reshape(-1, len(video))
    clips = [clip_frames(last, len(video), num_frames) for last in range(len(video))]
    return np.array([int(seen[:, frames].any(axis=1).sum()) for frames in clips])
