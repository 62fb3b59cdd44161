"""The videos that a configuration names."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from vistr.config import Config
from vistr.config.checks import check_dataset
from vistr.data.categories import are_unnamed
from vistr.data.readers import reader_of
from vistr.data.samples import check_sizes
from vistr.data.splits import training_and_held_out
from vistr.data.videos import Category, VideoSet, check_images
from vistr.errors import UserError
from vistr.runtime.parallel import Ranks


def reading(config: Config, ranks: Ranks) -> AbstractContextManager[None]:
    """For reading the videos on several ranks: all at once, but the first ahead where videos have to be made."""
    return ranks.first_ahead() if reader_of(config.dataset).writes else nullcontext()


def open_split(config: Config, split: str) -> VideoSet:
    """The videos of "train", "valid" or "test" as they are on the disk; `shapes` are generated first.

    UserError where the configuration does not say where they lie, or they are not there.
    """
    check_dataset(config)
    video_set = reader_of(config.dataset).read(config.dataset, split)
    check_images(video_set)
    check_sizes(video_set)
    return video_set


def training_videos(config: Config) -> tuple[VideoSet, VideoSet]:
    """The videos to train on and those to evaluate: the ones held out, or all of another dataset.split.

    With dataset.holdout=0 and dataset.split=holdout there are none to evaluate.
    """
    whole = open_split(config, "train")
    train, held_out = training_and_held_out(whole, config.dataset)
    if not any(not a.iscrowd for v in train.videos for a in v.annotations):
        raise UserError(f"{train.annotation_file} has no annotated object to train on")
    split = config.dataset.split
    if split == "holdout":
        return train, held_out
    return train, whole if split == "train" else open_split(config, split)


def evaluation_videos(config: Config) -> VideoSet:
    """The videos of dataset.split: the held-out ones, all training videos, or the public valid and test sets."""
    split = config.dataset.split
    if split == "holdout":
        _, held_out = training_and_held_out(open_split(config, "train"), config.dataset)
        if not held_out.videos:
            raise UserError("dataset.holdout=0 holds no video out: evaluate dataset.split=train, or set a holdout")
        return held_out
    return open_split(config, split)


def with_categories(video_set: VideoSet, categories: list[Category], checkpoint: Path) -> VideoSet:
    """The videos under a checkpoint's categories; UserError where the two name different ones.

    As many categories as the checkpoint has without names take the videos' names.
    """
    if are_unnamed(categories) and len(categories) == len(video_set.categories):
        return video_set
    if not video_set.has_truth and not video_set.categories:
        return replace(video_set, categories=tuple(categories))
    if list(video_set.categories) != categories:
        theirs, ours = ([c.name for c in some] for some in (video_set.categories, categories))
        raise UserError(
            f"{checkpoint} knows the categories {', '.join(ours)}, but {video_set.annotation_file} has"
            f" {', '.join(theirs)}: evaluate it on the data it was trained for"
        )
    return video_set
