"""Holding whole videos out of training, so that an AP can be had where the public validation has no truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vistr.data.videos import VideoSet
from vistr.errors import UserError


def hold_out(video_set: VideoSet, fraction: float, seed: int) -> tuple[VideoSet, VideoSet]:
    """Splits into (training videos, held-out videos): the nearest whole number to `fraction` of the videos is
    held out, chosen by `seed` alone, both sides in the file's order.

    With a fraction above 0 each side has at least one video; UserError where there is only one to share.
    """
    total = len(video_set.videos)
    if fraction == 0:
        return video_set, replace(video_set, videos=())
    if total < 2:
        raise UserError(
            f"{video_set.annotation_file} has only {total} video, none can be held out: "
            "set dataset.holdout=0 or add videos"
        )
    num_held_out = min(max(round(fraction * total), 1), total - 1)
    # Drawn among sorted ids, so that the same videos are held out however the file orders them.
    identifiers = sorted(video.id for video in video_set.videos)
    chosen = np.random.default_rng(seed).permutation(total)[:num_held_out]
    held_out = {identifiers[position] for position in chosen}
    return (
        replace(video_set, videos=tuple(video for video in video_set.videos if video.id not in held_out)),
        replace(video_set, videos=tuple(video for video in video_set.videos if video.id in held_out)),
    )
