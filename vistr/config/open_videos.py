"""The videos that a configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from vistr.config import Config
from vistr.config.checks import check_dataset, keys_of_part
from vistr.data.categories import are_unnamed
from vistr.data.readers import reader_of
from vistr.data.samples import check_sizes
from vistr.data.settings import Dataset
from vistr.data.splits import training_and_held_out
from vistr.data.videos import Category, VideoSet, check_images
from vistr.errors import UserError, shortened
from vistr.runtime.parallel import Ranks


def reading(config: Config, ranks: Ranks) -> AbstractContextManager[None]:
    """A context for reading the videos on several ranks: the first rank goes ahead where videos are generated."""
    writes = any(reader_of(part).writes for part in config.dataset.by_name.values())
    return ranks.first_ahead() if writes else nullcontext()


def open_split(dataset: Dataset, split: str) -> VideoSet:
    """The videos of "train", "valid" or "test" as they are on the disk; `shapes` are generated first."""
    video_set = reader_of(dataset).read(dataset, split)
    check_images(video_set)
    check_sizes(video_set)
    return video_set


def training_videos(config: Config) -> tuple[dict[str, VideoSet], VideoSet]:
    """The videos to train on by dataset, a mixture's parts or one alone, and those to evaluate.

    These are the ones held out of the evaluated dataset, none with dataset.holdout=0, or all of another dataset.split.
    UserError where the configuration does not say where they lie, they are not there, or categories disagree.
    """
    check_dataset(config)
    judged, chosen = VideoSet(Path(), Path(), (), ()), config.dataset.evaluated_part
    parts: dict[str, VideoSet] = {}
    for name, dataset in config.dataset.by_name.items():
        with keys_of_part(config.dataset, name):
            whole = open_split(dataset, "train")
            parts[name], held_out = training_and_held_out(whole, dataset)
            if not any(not a.iscrowd for v in parts[name].videos for a in v.annotations):
                raise UserError(f"{whole.annotation_file} has no annotated object to train on")
            if dataset is chosen:
                judged = {"holdout": held_out, "train": whole}.get(dataset.split) or open_split(dataset, dataset.split)
    _require_same_categories(parts)
    return parts, judged


def evaluation_videos(config: Config) -> VideoSet:
    """The videos of dataset.split: the held-out ones, all training videos, or the public valid and test sets.

    Of a mixture those of the part that is evaluated.
    """
    check_dataset(config)
    chosen = config.dataset.evaluated_part
    with keys_of_part(config.dataset, config.dataset.evaluated_name):
        if chosen.split != "holdout":
            return open_split(chosen, chosen.split)
        _, held_out = training_and_held_out(open_split(chosen, "train"), chosen)
        if not held_out.videos:
            raise UserError("dataset.holdout=0 holds no video out: evaluate dataset.split=train, or set a holdout")
        return held_out


def _require_same_categories(parts: Mapping[str, VideoSet]) -> None:
    """UserError where the parts of a mixture do not name the same categories in the order of their ids."""
    first, *others = parts
    for other in others:
        pairs = zip_longest(parts[first].names, parts[other].names, fillvalue="none")
        place, (one, two) = next(((i, pair) for i, pair in enumerate(pairs, 1) if len(set(pair)) > 1), (0, ("", "")))
        if place:
            raise UserError(
                f"The parts of dataset=mix must have the same categories, but number {place} is {shortened(one, 40)} in"
                f" {first} and {shortened(two, 40)} in {other} ({shortened(parts[other].annotation_file)})."
            )


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
