"""Runs as read from their folders: settings, state and figures."""

from __future__ import annotations

import glob
import json
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vistr.config.old_keys import migrated
from vistr.config.resuming import SETTINGS, recorded_overrides
from vistr.config.stored import leaves, own_references, read_yaml
from vistr.errors import UserError
from vistr.runs.rows import finite_number, read_rows
from vistr.runs.run_record import FILE, read_record

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
    try:
        if (folder / ".hydra").is_dir() or (folder / FILE).is_file():
            yield folder
            return
        below = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    except OSError:  # a folder that we may not look into
        return
    for path in sorted(below, key=_by_number):
        if not path.name.startswith("."):
            yield from run_folders(path)


def read_run(folder: Path, name: str) -> Run:
    """One run; what is missing or unreadable in its folder is left empty."""
    record = read_record(folder)
    config = _settings(folder)
    hydra = _section(_section(_or_none(read_yaml, folder / ".hydra" / "hydra.yaml")).get("hydra"))
    choices = _section(_section(hydra.get("runtime")).get("choices"))
    typed = _or_none(recorded_overrides, folder) or []
    options = {key: value for key, value in (one.split("=", 1) for one in typed if "=" in one) if key in choices}
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
        str(_section(config.get("task")).get("name", "")),
        dict(leaves(config)),
        # A resumed run's folder has the options that it was started with.
        {key: value for key, value in (choices | options).items() if not str(key).startswith("hydra/")},
        tuple(str(one).partition("=")[0].lstrip("+").partition("@")[0] for one in typed),
        figures,
        rows,
        record.seconds if record is not None and record.seconds else None,
    )


def final_training_figures(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Figures of a whole training, from its rows.

    `loss` is the mean over its last epoch, `clips_per_second` the median, `memory_gb` the peak, `steps` their number.
    """
    trained = [row for row in rows if row.get("kind") == "train"]
    if not trained:
        return {}
    figures: dict[str, float] = {"steps": trained[-1]["step"]}
    last = [
        row["loss"] for row in trained if row.get("epoch") == trained[-1].get("epoch") and row.get("loss") is not None
    ]
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
        return {str(key): float(value) for key, value in content["figures"].items() if finite_number(value)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _settings(folder: Path) -> dict[str, Any]:
    """Every setting of a run; of an older one, of which `settings.yaml` is not there, as it was composed."""
    settings = _or_none(read_yaml, folder / SETTINGS)
    if isinstance(settings, dict):
        return migrated({key: value for key, value in settings.items() if isinstance(key, str)})
    return migrated(own_references(_section(_or_none(read_yaml, folder / ".hydra" / "config.yaml"))))


def _or_none(read: Callable[[Path], Any], path: Path) -> Any:
    """What is read; None where it cannot be."""
    try:
        return read(path)
    except UserError:
        return None


def _section(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _by_number(path: Path) -> tuple[int, int, str]:
    number = path.name.partition("_")[0]
    return (0, int(number), path.name) if number.isdecimal() else (1, 0, path.name)
