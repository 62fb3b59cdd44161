"""Keys by other names: as they are typed without their section, and as earlier versions stored them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from vistr.config.run_names import override_key
from vistr.tasks.settings import TASKS

# Keys that stood at the root of a configuration once; they are still typed without their section.
_AT_ROOT = ("checkpoint", "input", "output", "format", "annotations", "results", "runs")
_BARE = (*_AT_ROOT, "min_score", "max_tracks", "categories", "overlay", "frames_per_second")
# What a key that is typed means.
_TRAINING = ("epochs", "batch_size", "accumulation_steps", "max_steps", "ema")
_SCHEDULE = ("drop_epoch", "drop_factor", "warmup_steps")
_OF_OPTIMIZER = {
    **{f"optimizer.{key}": f"training.{key}" for key in _TRAINING},
    **{f"optimizer.{key}": f"schedule.{key}" for key in _SCHEDULE},
}
ALIASES = {key: f"task.{key}" for key in _BARE} | {"experiment": "experiments"} | _OF_OPTIMIZER
# Where a stored key is now.
_MOVED = {key: f"task.{key}" for key in _AT_ROOT} | _OF_OPTIMIZER


def renamed(override: str) -> str:
    """An override, such as `checkpoint=run`, by the key's own name."""
    key, equals, value = override.partition("=")
    plain = key.lstrip("+")
    return key[: len(key) - len(plain)] + ALIASES.get(plain, plain) + equals + value


def move_in_studies(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Give what a user's study sets by a key that has moved to the key of today, unless that is typed."""
    typed = {override_key(one) for one in overrides}
    for old, new in _OF_OPTIMIZER.items():
        name, (group, key) = old.partition(".")[2], new.split(".")
        if name not in composed.optimizer:
            continue
        with open_dict(composed.optimizer):
            value = composed.optimizer.pop(name)
        if new not in typed and key in composed[group]:
            OmegaConf.update(composed, new, value)


def migrated(saved: dict[str, Any]) -> dict[str, Any]:
    """Stored settings by the keys of today."""
    saved = {key: dict(value) if isinstance(value, dict) else value for key, value in saved.items()}
    for old, new in _MOVED.items():
        _move(saved, old.split("."), new.split("."))
    if isinstance(saved.get("task"), dict):
        saved["task"] = _without_other_tasks(saved["task"])
    return saved


def _move(saved: dict[str, Any], old: list[str], new: list[str]) -> None:
    owner = saved if len(old) == 1 else saved.get(old[0])
    if not isinstance(owner, dict) or old[-1] not in owner:
        return
    value, target = owner.pop(old[-1]), saved.setdefault(new[0], {})
    # Inputs that a task does not have were null.
    if (value is not None or new[0] != "task") and isinstance(target, dict):
        target.setdefault(new[-1], value)


def _without_other_tasks(section: dict[str, Any]) -> dict[str, Any]:
    """A task's section, which once held the keys of all tasks, without those of the others."""
    task = TASKS.get(str(section.get("name", "train")), TASKS["train"])
    others = {key for one in TASKS.values() for key in vars(one)} - {*vars(task)}
    return {key: value for key, value in section.items() if key not in others}
