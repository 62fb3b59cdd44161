"""The videos that a configuration names."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import cast

from vistr.config import Config
from vistr.config.checks import check_dataset
from vistr.data.categories import are_unnamed
from vistr.data.layouts import Split, find_layout
from vistr.data.samples import check_sizes
from vistr.data.settings import generated_videos
from vistr.data.shapes import write_shapes
from vistr.data.splits import hold_out
from vistr.data.videos import Category, VideoSet, check_images
from vistr.data.ytvis import read_ytvis
from vistr.errors import UserError
from vistr.runtime.parallel import Ranks


def is_generated(config: Config) -> bool:
    """Whether the videos are made before they are read."""
    return config.dataset.name == "shapes" and not _are_named(config)


def _are_named(config: Config) -> bool:
    return config.dataset.annotations is not None and config.dataset.images is not None


def reading(config: Config, ranks: Ranks) -> AbstractContextManager[None]:
    """For reading the videos on several ranks: all at once, but the first ahead where videos have to be made."""
    return ranks.first_ahead() if is_generated(config) else nullcontext()


def open_split(config: Config, split: str) -> VideoSet:
    """The videos of "train", "valid" or "test" as they are on the disk; `shapes` are generated first.

    UserError where the configuration does not say where they lie, or they are not there.
    """
    check_dataset(config)
    dataset = config.dataset
    if _are_named(config):
        files = (Path(cast(str, dataset.annotations)), Path(cast(str, dataset.images)))
    elif is_generated(config):
        folder = write_shapes(Path(cast(str, dataset.root)), **generated_videos(dataset))
        files = find_layout("shapes", folder, "train")
    else:
        files = find_layout(dataset.name, Path(cast(str, dataset.root)), cast(Split, split))
    video_set = read_ytvis(*files)
    check_images(video_set)
    check_sizes(video_set)
    return video_set


def training_videos(config: Config) -> tuple[VideoSet, VideoSet]:
    """The videos to train on and those to evaluate: the ones held out, or all of another dataset.split.

    With dataset.holdout=0 and dataset.split=holdout there are none to evaluate.
    """
    whole = open_split(config, "train")
    train, held_out = hold_out(whole, config.dataset.holdout, config.dataset.seed)
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
        _, held_out = hold_out(open_split(config, "train"), config.dataset.holdout, config.dataset.seed)
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
