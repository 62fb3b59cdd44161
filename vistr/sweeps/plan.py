"""The folder of a sweep: the same command finds it again, another command gets another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vistr.config import overrides as typed
from vistr.config.checks import require_figure
from vistr.config.compose import compose_sweep
from vistr.config.run_names import bounded, override_key, overrides_slug
from vistr.errors import UserError, shortened
from vistr.tasks.settings import TASKS

# How a sweep is carried out may change from one start to the next; what it consists of may not.
_HOW = ("n_trials", "n_jobs", "max_batch_size", "max_failure_rate", "storage", "study_name")
_WHERE = ("outputs", "run_dir", "overrides")


@dataclass(frozen=True)
class SweepPlan:
    """A sweep's folder, the figure it is after, and the overrides that tell Hydra so.

    `digest` stands for all that the sweep comes to; `search_path` are further folders of options
    (hydra.searchpath=).
    """

    folder: Path
    digest: str
    search_path: list[Path]
    optimize: str
    direction: str
    hydra_overrides: list[str]


def plan(overrides: Sequence[str]) -> SweepPlan:
    """The plan of a sweep, from overrides made ready; raises what composing raises."""
    composed = compose_sweep(overrides)
    _require_figure(composed)
    typed.require_values([*swept_in_files(composed), *overrides])
    extra = [typed.leave_out_of_names([*swept_in_files(composed), *overrides])]
    digest = sweep_digest(composed)
    folder = Path(composed.hydra.sweep.dir)
    if not any(override_key(override) == "hydra.sweep.dir" for override in overrides):
        folder = folder / f"{bounded(overrides_slug(composed.hydra.overrides.task)) or 'defaults'}_{digest}"
        extra.append(typed.path_override("hydra.sweep.dir", str(folder)))
    folders = [one for one in composed.hydra.searchpath or () if not one.startswith("pkg://")]
    more = [Path(one.removeprefix("file://")) for one in folders]
    return SweepPlan(folder, digest, more, composed.optimize, composed.direction, extra)


def _require_figure(composed: DictConfig) -> None:
    """UserError where the jobs will not have the figure that they are ranked by, or searched for: all would run in
    vain."""
    content: dict[str, Any] = OmegaConf.to_container(composed, resolve=False)  # type: ignore[assignment]
    task, optimize, dataset = content["task"]["name"], str(content["optimize"]), content["dataset"]
    require_figure(TASKS[task], optimize, content["training"]["ema"])
    if "optuna" not in str(content["hydra"]["sweeper"].get("_target_")):
        return
    if optimize not in TASKS[task].figures:
        raise UserError(f"optimize={shortened(optimize)}: the jobs of task={task} have no such figure to search for.")
    evaluated = optimize in TASKS["evaluate"].figures or optimize.startswith("ema_")
    if dataset["parts"]:
        dataset = dataset["parts"].get(dataset["evaluated"], list(dataset["parts"].values())[-1])
    held_out = dataset["holdout"] != 0 or dataset["holdout_ids"] is not None
    if task == "train" and evaluated and dataset["split"] == "holdout" and not held_out:
        raise UserError(
            f"optimize={optimize}: dataset.holdout=0 leaves no video to evaluate; set it, or dataset.split=train."
        )


def swept_in_files(composed: DictConfig) -> list[str]:
    """The overrides that a configuration file (of experiments/) sweeps, in `hydra.sweeper.params`."""
    return [f"{key}={value}" for key, value in (composed.hydra.sweeper.get("params") or {}).items()]


def sweep_digest(composed: DictConfig) -> str:
    """A hash of all that the sweep comes to.

    The launcher, and how many jobs there are to be or run at a time, do not matter; the order of the overrides,
    which the jobs are numbered by, does.
    """
    overrides = list(composed.hydra.overrides.task)
    sweeper: dict[str, Any] = OmegaConf.to_container(composed.hydra.sweeper, resolve=False)  # type: ignore[assignment]
    content: dict[str, Any] = OmegaConf.to_container(composed, resolve=False)  # type: ignore[assignment]
    content = {key: value for key, value in content.items() if key not in ("hydra", *_WHERE)}
    what = {
        "overrides": [one for one in overrides if override_key(one) not in _WHERE],
        "sweeper": {key: value for key, value in sweeper.items() if key not in _HOW},
        "configuration": content,
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:6]
