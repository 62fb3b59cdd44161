"""Metadata of a checkpoint, and reading it: it may be damaged, a stranger's, or of another version."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mindspore as ms
from omegaconf import OmegaConf

from vistr import __version__
from vistr.config.old_keys import migrated
from vistr.config.stored import plain_config
from vistr.data.videos import Category
from vistr.errors import UserError, shortened


@dataclass
class TrainingState:
    """Where a training stands: `epoch` counted from 0, the optimizer steps done in it and in all, the best AP so far
    (of the weights, and of their moving average).

    `loss_scale` is half precision's, None before its first step; `steps_at_scale` the steps since it changed;
    `num_ranks` the processes that do the steps. `clips_in_epoch` counts the clips of the epoch's order that all of
    them have seen; None in checkpoints of older versions. `ended` says that the evaluation and the files that are due
    at this step have been made.
    """

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best: float = -1.0
    best_ema: float = -1.0
    loss_scale: float | None = None
    steps_at_scale: int = 0
    num_ranks: int = 1
    clips_in_epoch: int | None = None
    ended: bool = False


@dataclass
class Metadata:
    """Metadata of a checkpoint; `origin` says where it came from if no training wrote it."""

    config: dict[str, Any]
    categories: list[Category]
    state: TrainingState = field(default_factory=TrainingState)
    metrics: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: {"vistr": __version__, "mindspore": ms.__version__})
    origin: str = ""


def metadata_of(described: dict[str, Any], path: Path) -> Metadata:
    """The metadata of the file `path`, checked. Raises UserError where some is missing, damaged, or not known here."""
    try:
        metadata = Metadata(**described)
        metadata.categories = [_typed(Category, one) for one in _known(described["categories"], list)]
        metadata.state = _typed(TrainingState, described["state"])
        _known(metadata.origin, str)
        for value in (*_known(metadata.versions, dict).values(), *metadata.versions):
            _known(value, str)
        for name, value in _known(metadata.metrics, dict).items():
            _check(name, value, ("float",), low=-math.inf)
        numbers = [one.id for one in metadata.categories]
        if len(set(numbers)) < len(numbers):
            raise ValueError("two categories of one id")
        metadata.config = migrated(_known(metadata.config, dict))
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        reason = shortened(error, 80)
        raise UserError(f"{path} is damaged, or written by another version of this program ({reason})") from None
    beginning = f"{path} is damaged, or written by another version: its configuration"
    typed = OmegaConf.to_container(plain_config(metadata.config, beginning))
    metadata.config = _as_typed(metadata.config, typed)
    for key in ("num_frames", "num_instances"):
        if metadata.config.get(key, 1) < 1:
            raise UserError(f"{beginning} has {key}={shortened(metadata.config[key], 30)}")
    return metadata


def _as_typed(stored: dict[str, Any], typed: Any) -> dict[str, Any]:
    """The keys that are stored, with the schema's types: a number may be stored as text."""
    return {
        key: _as_typed(value, typed[key]) if isinstance(value, dict) else typed.get(key, value)
        for key, value in stored.items()
        if key not in ("overrides", "run_dir")
    }


def _known(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{shortened(value, 30)} where a {kind.__name__} belongs")
    return value


def _typed(kind: Any, content: Any) -> Any:
    """A dataclass of numbers and text out of a JSON object; ValueError or TypeError: its values are others."""
    made = kind(**_known(content, dict))
    for one in dataclasses.fields(kind):
        _check(one.name, getattr(made, one.name), str(one.type).split(" | "), low=-1)
    return made


def _check(name: str, value: Any, types: Any, low: float) -> None:
    """Whether a value is of one of the types; counts are not negative, and every number is one that can be."""
    kind = "None" if value is None else type(value).__name__
    fits = kind in types or (kind == "int" and "float" in types)
    if fits and kind in ("int", "float"):
        fits = math.isfinite(value) and low <= value < 1 << 53 and not (kind == "int" and "int" in types and value < 0)
    if not fits:
        raise ValueError(f"{shortened(name, 20)}={shortened(value, 30)}")
