"""`task=average`: the mean of several checkpoints of one network."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from vistr.config import Config
from vistr.errors import UserError
from vistr.tasks.settings import Average
from vistr.weights.averaging import average
from vistr.weights.checkpoint import Metadata, TrainingState, read_checkpoint, write_checkpoint

logger = logging.getLogger(__name__)


def run(config: Config) -> dict[str, float]:
    """Average the checkpoints that task.input names into task.output; returns no figures.

    The result describes itself as the last of them does, without its metrics: `task=evaluate` gives its own.
    """
    task = Average.of(config)
    paths = checkpoints_of(task.input)
    described: list[Metadata] = []

    def networks() -> Iterator[tuple[Path, dict[str, np.ndarray]]]:
        for path in paths:
            checkpoint = read_checkpoint(path)
            if described and checkpoint.metadata.categories != described[0].categories:
                raise UserError(f"{path} knows other categories than {paths[0]}: their average would know neither")
            described.append(checkpoint.metadata)
            logger.info("  %s, step %d", path, checkpoint.metadata.state.step)
            yield path, checkpoint.model

    weights = average(networks())
    last = described[-1].state
    state = TrainingState(last.epoch, last.step_in_epoch, last.step)
    origin = f"average of {', '.join(path.name for path in paths)}"
    write_checkpoint(Path(task.output), weights, replace(described[-1], state=state, metrics={}, origin=origin), {})
    logger.info("the average of %d checkpoints: %s", len(paths), task.output)
    return {}


def checkpoints_of(name: str) -> list[Path]:
    """The checkpoints a pattern matches, or the epochs of a run's folder, sorted; at least two, else UserError."""
    folder = Path(name)
    if folder.is_dir():
        inside = folder / "checkpoints" if (folder / "checkpoints").is_dir() else folder
        paths = sorted(path for path in inside.glob("epoch_*.safetensors") if not path.stem.endswith("_ema"))
    else:
        paths = sorted(Path(path) for path in glob.glob(name, recursive=True))
    if len(paths) < 2:
        found = f"only {paths[0]}" if paths else "nothing"
        raise UserError(f"input={name} matches {found}: averaging needs two checkpoints or more")
    return paths
