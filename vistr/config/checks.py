"""Whether a whole configuration holds together: every section by itself, the task's needs, and the datasets' files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields

from vistr.config.evaluation_sizes import evaluation_size
from vistr.config.schema import Config
from vistr.data.readers import READERS, reader_of
from vistr.data.settings import Dataset
from vistr.errors import UserError, shortened
from vistr.files import require_file
from vistr.knobs import check_section
from vistr.tasks.settings import Task, Train


def check(config: Config, typed: Iterable[str] = (), *, with_dataset: bool = True) -> None:
    """Raise a UserError that names the first key out of range or at odds with another, or `typed` without effect.

    `with_dataset=False` leaves out the dataset's own files and splits, which nobody needs who only builds a network;
    evaluation learns its dataset from the checkpoint, after the configuration is composed.
    """
    check_section(config, [key for key in typed if key not in config.task.reads])
    _check_warmup(config)
    _check_evaluation_size(config)
    for key in ("resume", "init"):
        if getattr(config, key) is not None and not isinstance(config.task, Train):
            task = config.task.name
            hint = "the weights to use are checkpoint=, those to convert input="
            raise UserError(f"{key}= belongs to task=train and has no effect on task={task}; {hint}.")
    require_figure(config.task, config.optimize, config.training.ema)
    config.task.check_inputs(config)
    # The others read nothing of the dataset but its clip size.
    if with_dataset and config.task.reads_dataset(config):
        check_dataset(config)


def _check_warmup(config: Config) -> None:
    warmup, steps = config.schedule.warmup_steps, config.training.max_steps
    if steps is not None and warmup >= steps:
        raise UserError(f"schedule.warmup_steps={warmup} leaves nothing of training.max_steps={steps}.")


def _check_evaluation_size(config: Config) -> None:
    size = evaluation_size(config)
    if size.long_side is not None and size.short_side > size.long_side:
        raise UserError(
            f"dataset.eval_long_side={size.long_side} is less than the short side of evaluation, {size.short_side}: "
            "give both dataset.eval_short_side= and dataset.eval_long_side=."
        )


def require_figure(task: Task, optimize: str, ema: float | None) -> None:
    """UserError where `optimize` names no figure that the runs of a task will have; its default stands for none."""
    if not task.figures or optimize == "AP":
        return
    if optimize not in task.figures:
        plain = [name for name in task.figures if not name.startswith("ema_")]
        same = [name for name in task.figures if name.lower() == optimize.lower()]
        near = same or difflib.get_close_matches(optimize, task.figures, n=1)
        hint = f"did you mean {near[0]}?" if near else f"these are {', '.join(plain)}."
        raise UserError(f"optimize={shortened(optimize)} is no figure of task={task.name}: {hint}")
    if optimize.startswith("ema_") and ema is None:
        raise UserError(f"optimize={optimize} needs averaged weights: set training.ema=, such as 0.999.")


def check_dataset(config: Config) -> None:
    """UserError where the files of a dataset, or of a part, are not named or not there, or its split has no videos."""
    dataset = config.dataset
    if dataset.name == "mix":
        READERS["mix"].require(dataset)
    elif dataset.parts:
        raise UserError(f"dataset.of= and dataset.parts belong to dataset=mix, and dataset={dataset.name} is chosen.")
    elif dataset.ratios or dataset.epoch_clips or dataset.evaluated:
        keys = "dataset.ratios=, dataset.epoch_clips= and dataset.evaluated="
        raise UserError(f"{keys} belong to dataset=mix, and dataset={dataset.name} is chosen.")
    for name, part in dataset.by_name.items():
        with keys_of_part(dataset, name):
            _check_part(part)
    judged = dataset.evaluated_part
    if config.task.name == "evaluate" and judged.split == "holdout" and not judged.holds_out:
        raise UserError(
            "dataset.split=holdout has no videos with dataset.holdout=0: choose dataset.split=train, or hold some out."
        )


def _check_part(dataset: Dataset) -> None:
    if dataset.categories is not None and not reader_of(dataset).pictures:
        raise UserError(f"dataset.categories= has no effect on dataset={dataset.name}: it is of dataset=coco.")
    reader_of(dataset).require(dataset)
    splits = ("holdout", *READERS[dataset.name].splits)
    if dataset.split not in splits:
        raise UserError(f"dataset.split={dataset.split}: {dataset.name} has no such split, only {', '.join(splits)}.")
    if dataset.holdout_ids is not None:
        require_file("dataset.holdout_ids", dataset.holdout_ids, "the list of held-out videos")


@contextmanager
def keys_of_part(dataset: Dataset, name: str) -> Iterator[None]:
    """What a UserError says of `dataset.<key>` is said of `dataset.parts.<name>.<key>`, where `name` is a part."""
    try:
        yield
    except UserError as error:
        if not dataset.parts:
            raise
        keys = "|".join(one.name for one in fields(dataset))
        raise UserError(re.sub(rf"(?<![\w./])dataset\.(?=({keys})\b)", f"dataset.parts.{name}.", str(error))) from error
