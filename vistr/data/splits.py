"""Holding whole videos out of training, so that an AP can be had where the public validation has no truth."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from vistr.data.settings import Dataset
from vistr.data.videos import VideoSet
from vistr.errors import UserError, shortened, shown
from vistr.pointers import refuse_stand_in

MAX_DIGITS = 19  # of 2**63 - 1, the largest id


def training_and_held_out(video_set: VideoSet, dataset: Dataset) -> tuple[VideoSet, VideoSet]:
    """(Training videos, held-out videos), as dataset.holdout_ids lists the held-out ones, or else dataset.holdout."""
    if dataset.holdout_ids is not None:
        return hold_out_listed(video_set, Path(dataset.holdout_ids))
    return hold_out(video_set, dataset.holdout, dataset.seed)


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
    return _separated(video_set, {identifiers[position] for position in chosen})


def hold_out_listed(video_set: VideoSet, file: Path) -> tuple[VideoSet, VideoSet]:
    """Splits into (training videos, held-out videos): those whose ids `file` lists, both sides in the set's order.

    UserError for an id that no video has, and where no video is left to train on.
    """
    listed = read_ids(file)
    unknown = sorted(listed - {video.id for video in video_set.videos})
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise UserError(
            f"dataset.holdout_ids={shortened(file)} lists video {unknown[0]}{more}, "
            f"but {shortened(video_set.annotation_file)} has no such video."
        )
    if len(listed) == len(video_set.videos):
        raise UserError(
            f"dataset.holdout_ids={shortened(file)} lists every video of {shortened(video_set.annotation_file)}: "
            "none is left to train on."
        )
    return _separated(video_set, listed)


def read_ids(file: Path) -> set[int]:
    """The video ids that a text file lists, one a line; empty lines and what follows a # do not count.

    UserError where the file cannot be read, a line is no id, or there is none.
    """
    key = f"dataset.holdout_ids={shortened(file)}"
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{key} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise UserError(f"{key} is no text: list one video id a line.") from None
    refuse_stand_in(file)
    identifiers: set[int] = set()
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if text:
            if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS:
                raise UserError(f"{key}, line {number}: {shown(text, 40)} is no video id: list one number a line.")
            identifiers.add(int(text))
    if not identifiers:
        raise UserError(f"{key} lists no video: give one video id a line.")
    return identifiers


def _separated(video_set: VideoSet, held_out: Collection[int]) -> tuple[VideoSet, VideoSet]:
    """(The other videos, the videos with the ids `held_out`)."""
    return (
        replace(video_set, videos=tuple(video for video in video_set.videos if video.id not in held_out)),
        replace(video_set, videos=tuple(video for video in video_set.videos if video.id in held_out)),
    )
