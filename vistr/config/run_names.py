"""Folder names that tell a person, and TensorBoard, what was run and what was overridden."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vistr.config.schema import PATH_KEYS

MAX_LENGTH = 100
# Said by the first part of the name, or by the folder the run lies in.
_ALREADY_NAMED = ("task", "dataset", "backbone", "num_frames")
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}_")


def override_key(override: str) -> str:
    """The dotted key an override speaks of: `+dataset/augmentation=none` gives `dataset.augmentation`."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0].replace("/", ".")


def slug(text: str) -> str:
    """Text as part of a folder name: letters, digits and `._=+-`, anything else a dash."""
    return re.sub(r"[^A-Za-z0-9._=+-]+", "-", text).strip("-")


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
        if key in PATH_KEYS or key in left_out or key.startswith("hydra."):
            continue
        value = slug(override.partition("=")[2])
        parts[key] = value if key == "experiments" else f"{key.rpartition('.')[2]}={value}"
    return "_".join(parts.values())


def run_name(
    task: str,
    dataset: str,
    backbone: str,
    num_frames: int,
    overrides: Sequence[str],
    checkpoint: str | None = None,
    results: str | None = None,
    input: str | None = None,
    runs: str | None = None,
) -> str:
    """The name of a single run, such as `shapes_r101_36f_learning_rate=0.0002`."""
    if task in ("score", "view") and results:
        first = Path(results).stem
    elif task == "infer" and checkpoint and input:
        first = f"{Path(input).stem}_{_checkpoint_name(Path(checkpoint))}"
    elif task in ("convert", "average") and input:
        first = Path(input).stem
    elif task == "compare" and runs:
        first = Path(runs.partition(",")[0].rstrip("/*")).name
    elif task in ("evaluate", "benchmark", "inspect", "export") and checkpoint:
        first = _checkpoint_name(Path(checkpoint))
    else:
        first = f"{dataset}_{backbone}_{num_frames}f"
    rest = overrides_slug(overrides, _ALREADY_NAMED)
    return bounded("_".join(part for part in (slug(first), rest) if part))


def job_name(overrides: Sequence[str], constant: Sequence[str]) -> str:
    """The name of a sweep's job: what was swept, `num_frames=18`; "" if nothing was."""
    return bounded(overrides_slug(overrides, constant))


def _checkpoint_name(checkpoint: Path) -> str:
    """The name of the run a checkpoint came from, then the file's own; a run's folder is the run alone."""
    if _DATE.match(checkpoint.name):
        return _DATE.sub("", checkpoint.name)
    for folder in checkpoint.parents:
        if _DATE.match(folder.name):
            return f"{_DATE.sub('', folder.name)}_{checkpoint.stem}"
    return checkpoint.stem


def register_resolvers() -> None:
    """Teach OmegaConf the three names conf/config.yaml builds its folders from."""
    OmegaConf.register_new_resolver("user_path", os.path.expanduser, replace=True)
    OmegaConf.register_new_resolver("run_name", _resolve_run_name, replace=True)
    OmegaConf.register_new_resolver("job_name", _resolve_job_name, replace=True)


def _resolve_run_name(*_: Any, _root_: DictConfig) -> str:
    return run_name(
        _root_.task.name,
        _root_.dataset.name,
        _root_.backbone.name,
        _root_.num_frames,
        _root_.hydra.overrides.task,
        _root_.checkpoint,
        _root_.results,
        _root_.input,
        _root_.runs,
    )


def _resolve_job_name(*_: Any, _root_: DictConfig) -> str:
    swept = job_name(_root_.hydra.overrides.task, _root_.hydra.job.config.override_dirname.exclude_keys)
    return swept or _resolve_run_name(_root_=_root_)
