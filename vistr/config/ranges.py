"""The choices and ranges of single keys."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from vistr.config.schema import PATH_KEYS, Config
from vistr.errors import UserError, shortened

CHOICES: dict[str, tuple[str, ...]] = {
    "backbone.name": ("r10", "r18", "r34", "r50", "r101"),
    "dataset.name": ("ytvis2019", "ytvis2021", "ovis", "custom", "shapes"),
    "dataset.split": ("holdout", "train", "valid", "test"),
    "sequence_head": ("dilated", "dense"),
    "task.name": (
        *("train", "evaluate", "infer", "score", "view", "benchmark", "rehearse", "compare"),
        *("convert", "inspect", "average", "export"),
    ),
    "direction": ("maximize", "minimize"),
    "device.target": ("auto", "cpu", "gpu"),
    "device.precision": ("fp32", "fp16"),
}

_POSITIVE = (
    "num_frames",
    "num_instances",
    "backbone.short_side",
    "backbone.long_side",
    "transformer.hidden_dim",
    "transformer.num_heads",
    "transformer.num_encoder_layers",
    "transformer.num_decoder_layers",
    "transformer.feedforward_dim",
    "dataset.short_side",
    "dataset.long_side",
    "dataset.eval_short_side",
    "dataset.eval_long_side",
    "dataset.size_divisor",
    "dataset.num_instances",
    "dataset.augmentation.resize_short",
    "dataset.augmentation.resize_long",
    "dataset.augmentation.crop_resize_short",
    "dataset.augmentation.crop_min",
    "dataset.augmentation.crop_max",
    "dataset.num_videos",
    "dataset.video_length",
    "dataset.height",
    "dataset.width",
    "dataset.max_objects",
    "optimizer.epochs",
    "optimizer.drop_epoch",
    "optimizer.batch_size",
    "optimizer.accumulation_steps",
    "optimizer.max_steps",
    "task.log_every",
    "task.evaluate_every",
    "task.checkpoint_every",
    "task.max_tracks",
    "task.repeats",
    "task.sweep_frames",
    "task.num_videos",
    "task.objects",
    "device.threads",
)
_ABOVE_ZERO = (
    "optimizer.learning_rate",
    "optimizer.clip_norm",
    "optimizer.drop_factor",
    "task.limit_minutes",
    "task.frames_per_second",
    "device.loss_scale",
)
# The least that videos are generated at.
_FRAME_SIDES = ("task.height", "task.width", "task.sweep_heights")
_NOT_NEGATIVE = (
    "dataset.num_workers",
    "loss.class_weight",
    "loss.box_weight",
    "loss.giou_weight",
    "loss.mask_weight",
    "loss.dice_weight",
    "loss.no_object_weight",
    "loss.class_cost",
    "loss.box_cost",
    "loss.iou_cost",
    "optimizer.backbone_learning_rate",
    "optimizer.weight_decay",
    "optimizer.warmup_steps",
    "task.save_minutes",
    "task.num_pictures",
    "device.id",
)
_SEEDS = ("seed", "dataset.seed")
_SHARES = ("optimizer.ema", "transformer.dropout", "dataset.holdout", "dataset.clip_overlap")
_PROBABILITIES = ("dataset.augmentation.flip", "task.min_score")

_RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (_POSITIVE, lambda value: value >= 1, "at least 1"),
    (_ABOVE_ZERO, lambda value: value > 0, "above 0"),
    (_FRAME_SIDES, lambda value: value >= 32, "at least 32 pixels"),
    (_NOT_NEGATIVE, lambda value: value >= 0, "at least 0"),
    (_SEEDS, lambda value: 0 <= value < 2**32, "from 0 to 4294967295"),
    (_SHARES, lambda value: 0 <= value < 1, "at least 0 and below 1"),
    (_PROBABILITIES, lambda value: 0 <= value <= 1, "from 0 to 1"),
)


def check_ranges(config: Config) -> None:
    """Raise a UserError that names the first key whose value is none of its choices or out of its range."""
    for key in PATH_KEYS:
        if attrgetter(key)(config) == "":
            raise UserError(f"{key}= is empty: give a path.")
    for key, choices in CHOICES.items():
        value = attrgetter(key)(config)
        if value not in choices:
            raise UserError(f"{key}={value} is not one of its choices: {', '.join(choices)}.")
    for key, value in _leaves(dataclasses.asdict(config)):
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{key}={value} is not a finite number.")
    for keys, holds, words in _RANGES:
        for key in keys:
            value = attrgetter(key)(config)
            entries = value if isinstance(value, list) else [value]
            if any(isinstance(entry, list | dict) for entry in entries):
                raise UserError(f"{key}={shortened(value)} has the wrong type: it must be a list of single numbers.")
            # A reference (${...}) in a list may be to text.
            numbers = (int, float)
            if any(entry is not None and not (isinstance(entry, numbers) and holds(entry)) for entry in entries):
                raise UserError(f"{key}={value} is out of range: it must be {words}.")


def _leaves(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
