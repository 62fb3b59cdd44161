"""A checkpoint as something that finds tracks."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vistr.config import Config
from vistr.config.compose import from_dict
from vistr.config.evaluation_sizes import clip_sizes, evaluation_size
from vistr.data.videos import Category
from vistr.errors import UserError
from vistr.inference.predictor import Predictor
from vistr.inference.video_clips import ClipSettings
from vistr.weights.checkpoint import Checkpoint, network_of, read_checkpoint


def load_predictor(checkpoint: str | Path, *, device: str = "auto", min_score: float = 0.3) -> Predictor:
    """The network of a checkpoint (a file, a run's folder or hf://owner/name/file), ready for `Predictor.stream`.

    `device` is "auto", "cpu" or "gpu"; tracks under `min_score` are left out. UserError where the checkpoint
    is none or there is no such device.
    """
    read = read_checkpoint(os.path.expanduser(checkpoint))
    config = from_dict(read.metadata.config)
    config.device.target = device
    return make_predictor(config, read, min_score)


def make_predictor(config: Config, checkpoint: Checkpoint, min_score: float) -> Predictor:
    """The predictor of a checkpoint whose configuration `config` has adopted."""
    categories = checkpoint.metadata.categories
    model = network_of(checkpoint, config)
    return Predictor(model, clip_settings(config), categories=categories, min_score=min_score)


def clip_settings(config: Config) -> ClipSettings:
    """How the configuration cuts videos into clips."""
    size, dataset = evaluation_size(config), config.dataset.evaluated_part
    return ClipSettings(
        config.num_frames,
        size.short_side,
        size.long_side,
        dataset.size_divisor,
        dataset.clip_overlap,
        dataset.clip_min_iou,
        clip_sizes(config),
    )


def chosen_categories(names: Sequence[Any], checkpoint: Checkpoint) -> dict[int, Category]:
    """The categories to keep, by label: all, or those named. UserError for a name the checkpoint does not know."""
    known = dict(enumerate(checkpoint.metadata.categories, 1))
    if not names:
        return known
    spelled = {category.name.lower(): label for label, category in known.items()}
    labels = set()
    for name in names:
        label = spelled.get(str(name).lower())
        if label is None:
            near = difflib.get_close_matches(str(name).lower(), spelled, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            every = ", ".join(category.name for category in known.values())
            raise UserError(f"categories=: {checkpoint.path} knows no {name}: {hint}It knows {every}.")
        labels.add(label)
    return {label: category for label, category in known.items() if label in labels}
