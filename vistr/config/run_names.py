"""Folder names that tell a person, and TensorBoard, what was run and what was overridden."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from vistr.config.schema import is_path
from vistr.tasks.settings import TASKS, Task
from vistr.text.folder_names import slug

MAX_LENGTH = 100
# Said by the first part of the name, or by the folder the run lies in.
_ALREADY_NAMED = ("task", "dataset", "backbone", "num_frames")


def override_key(override: str) -> str:
    """The dotted key an override sets: `+dataset/augmentation=none` gives `dataset.augmentation`, and
    `+dataset@dataset.parts.a=ovis`, an option put elsewhere, `dataset.parts.a`."""
    group, _, place = override.partition("=")[0].lstrip("+~").partition("@")
    return place if place.startswith("dataset.") else group.replace("/", ".")


def bounded(name: str) -> str:
    """The name, cut to MAX_LENGTH characters; a short hash keeps two long names apart."""
    if len(name) <= MAX_LENGTH:
        return name
    return f"{name[: MAX_LENGTH - 7]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def overrides_slug(overrides: Sequence[str], left_out: Sequence[str] = ()) -> str:
    """What was overridden, as `learning_rate=0.0002_epochs=3`; paths and the keys `left_out` are dropped."""
    parts = {}
    for override in overrides:
        key = override_key(override)
        if is_path(key) or key in left_out or key.startswith("hydra."):
            continue
        value = slug(override.partition("=")[2])
        parts[key] = value if key == "experiments" else f"{key.rpartition('.')[2]}={value}"
    return "_".join(parts.values())


def run_name(task: Task, dataset: str, backbone: str, num_frames: int, overrides: Sequence[str]) -> str:
    """The name of a single run, such as `shapes_r101_36f_learning_rate=0.0002`."""
    first = task.run_name() or f"{dataset}_{backbone}_{num_frames}f"
    rest = overrides_slug(overrides, _ALREADY_NAMED)
    return bounded("_".join(part for part in (slug(first), rest) if part))


def job_name(overrides: Sequence[str], constant: Sequence[str]) -> str:
    """The name of a sweep's job: what was swept, `num_frames=18`; "" if nothing was."""
    return bounded(overrides_slug(overrides, constant))


def register_resolvers() -> None:
    """Teach OmegaConf the names that configurations build folders, the page of --help and drop_epoch from."""
    OmegaConf.register_new_resolver("user_path", os.path.expanduser, replace=True)
    OmegaConf.register_new_resolver("run_name", _resolve_run_name, replace=True)
    OmegaConf.register_new_resolver("job_name", _resolve_job_name, replace=True)
    OmegaConf.register_new_resolver("two_thirds", lambda number: max(1, round(number * 2 / 3)), replace=True)
    OmegaConf.register_new_resolver("most_instances", _most_instances, replace=True)
    OmegaConf.register_new_resolver("tasks_help", _tasks_help, replace=True)


def _most_instances(parts: DictConfig) -> int:
    return max([part.num_instances for part in parts.values()], default=10)


def _tasks_help() -> str:
    lines = (f"  {name:<12}{str(task.__doc__).splitlines()[0]}" for name, task in TASKS.items())
    return "\n".join(lines)


def _resolve_run_name(*_: Any, _root_: DictConfig) -> str:
    task = cast(Task, OmegaConf.to_object(_root_.task))
    overrides = _root_.hydra.overrides.task
    return run_name(task, _root_.dataset.name, _root_.backbone.name, _root_.num_frames, overrides)


def _resolve_job_name(*_: Any, _root_: DictConfig) -> str:
    swept = job_name(_root_.hydra.overrides.task, _root_.hydra.job.config.override_dirname.exclude_keys)
    return swept or _resolve_run_name(_root_=_root_)
