"""Runs as they lie on the disk: what each was set to, how it stands, and what came out of it."""

from __future__ import annotations

import glob
import json
import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vistr.errors import UserError
from vistr.results.run_record import read_record

ROWS = "metrics.jsonl"
# Runs that have nothing to compare.
_WITHOUT_FIGURES = ("compare",)


@dataclass(frozen=True)
class Run:
    """One run.

    name: its folder's name, from where the runs compared part ways.
    state, reason: as in `status.json`; without that file "unknown" (an older run), or "not started" where there is
    nothing else either.
    settings: every key of its configuration by its dotted name; choices: the option of every group, as
    {"backbone": "r50"}; typed: the keys that were set on the command line.
    figures: what came out, by name; rows: `metrics.jsonl`; seconds: how long it took, None where unknown.
    """

    name: str
    folder: Path
    state: str
    reason: str | None
    task: str
    settings: dict[str, Any]
    choices: dict[str, str | None]
    typed: tuple[str, ...]
    figures: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float | None = None

    def setting(self, key: str) -> Any:
        """The value of a dotted key, or the option of a group; None where there is none."""
        return self.choices[key] if key in self.choices else self.settings.get(key)

    def curve(self, kind: str, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of "loss" of kind "train", "AP" of kind "eval" ...; without those that were not finite."""
        points = [(r["step"], r[name]) for r in self.rows if r.get("kind") == kind and r.get(name) is not None]
        return [step for step, _ in points], [value for _, value in points]


def find_runs(patterns: Sequence[str], leave_out: Path | None = None) -> list[Run]:
    """The runs in the folders that the patterns match, at any depth, each once, in the order of their paths.

    Raises UserError for a pattern that leads to no run.
    """
    folders: dict[Path, None] = {}
    for pattern in patterns:
        matches = [Path(pattern)] if os.path.isdir(pattern) else [Path(one) for one in sorted(glob.glob(pattern))]
        found = [folder for match in matches for folder in run_folders(match)]
        if not found:
            what = "there is no run below it" if matches else "it matches nothing"
            raise UserError(f"runs={pattern}: {what}; name folders of runs, of sweeps, or a pattern such as outputs/*.")
        folders.update(dict.fromkeys(folder.resolve() for folder in found))
    if leave_out is not None:
        folders.pop(leave_out.resolve(), None)
    paths = list(folders)
    root = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
    runs = [read_run(path, path.relative_to(root).as_posix()) for path in paths]
    return [run for run in runs if run.task not in _WITHOUT_FIGURES]


def run_folders(folder: Path) -> Iterator[Path]:
    """The folders of runs at `folder` and below, in the order of their names, jobs by their number."""
    if (folder / ".hydra").is_dir():
        yield folder
        return
    below = sorted((path for path in folder.iterdir() if path.is_dir()), key=_by_number) if folder.is_dir() else []
    for path in below:
        if not path.name.startswith("."):
            yield from run_folders(path)


def read_run(folder: Path, name: str) -> Run:
    """One run; what is missing or unreadable in its folder is left empty."""
    record = read_record(folder)
    config = _resolved(_yaml(folder / ".hydra" / "config.yaml"))
    hydra = _yaml(folder / ".hydra" / "hydra.yaml").get("hydra") or {}
    choices = (hydra.get("runtime") or {}).get("choices") or {}
    overrides = _yaml(folder / ".hydra" / "overrides.yaml", [])
    rows = read_rows(folder)
    figures = dict(record.figures) if record is not None else {}
    if not figures:
        figures = {**final_training_figures(rows), **_last_evaluation(rows), **_official_figures(folder)}
    without_record = "unknown" if figures else "not started"
    return Run(
        name,
        folder,
        record.state if record is not None else without_record,
        record.reason if record is not None else None,
        (config.get("task") or {}).get("name", ""),
        dict(_leaves(config)),
        {key: value for key, value in choices.items() if not key.startswith("hydra/")},
        tuple(str(one).partition("=")[0].lstrip("+").partition("@")[0] for one in overrides),
        figures,
        rows,
        record.seconds if record is not None and record.seconds else None,
    )


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl`; none where it has no such file."""
    rows = []
    with suppress(OSError):
        for line in (folder / ROWS).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # the last line of a run that is just writing it
                row = json.loads(line)
                if isinstance(row, dict) and "step" in row:
                    rows.append(row)
    return rows


def final_training_figures(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What the rows of a training say of it as a whole.

    `loss` is the mean over its last epoch, `clips_per_second` the median, `memory_gb` the peak, `steps` their number.
    """
    trained = [row for row in rows if row.get("kind") == "train"]
    if not trained:
        return {}
    figures: dict[str, float] = {"steps": trained[-1]["step"]}
    last = [row["loss"] for row in trained if row["epoch"] == trained[-1]["epoch"] and row.get("loss") is not None]
    if last:
        figures["loss"] = statistics.fmean(last)
    for name, summary in (("clips_per_second", statistics.median), ("memory_gb", max)):
        values = [row[name] for row in trained if row.get(name) is not None]
        if values:
            figures[name] = summary(values)
    return figures


def _last_evaluation(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    last: dict[str, Any] = next((row for row in reversed(rows) if row.get("kind") == "eval"), {})
    kept = {key: value for key, value in last.items() if key not in ("step", "epoch", "kind") and "/" not in key}
    return {key: value for key, value in kept.items() if value is not None}


def _official_figures(folder: Path) -> dict[str, float]:
    try:
        content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in content["figures"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _yaml(file: Path, default: Any = None) -> Any:
    empty = {} if default is None else default
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8")) or empty
    except (OSError, yaml.YAMLError):
        return empty


def _resolved(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with values in place of references such as ${seed}, where they lead anywhere."""
    try:
        return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(config), resolve=True))
    except OmegaConfBaseException:
        return config


def _leaves(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _by_number(path: Path) -> tuple[int, int, str]:
    number = path.name.partition("_")[0]
    return (0, int(number), path.name) if number.isdigit() else (1, 0, path.name)
