"""Runs side by side: what differs between them, what came out, which came out best."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vistr.runs.published import DATASET, PUBLISHED, Published
from vistr.runs.runs import Run
from vistr.text.durations import duration_text

# Name of a figure: heading, format. In the order they are shown.
FIGURES: dict[str, tuple[str, str]] = {
    "AP": ("AP", ".3f"),
    "AP50": ("AP50", ".3f"),
    "AP75": ("AP75", ".3f"),
    "AR1": ("AR1", ".3f"),
    "AR10": ("AR10", ".3f"),
    "loss": ("loss", ".4g"),
    "frames_per_second": ("FPS, network", ".3g"),
    "frames_per_second_with_loading": ("FPS", ".3g"),
    "memory_gb": ("GB", ".2f"),
    "training_memory_gb": ("GB, training", ".2f"),
    "million_parameters": ("M param.", ".2f"),
    "steps": ("steps", ".0f"),
}
# Where a run lies, and what it goes on with, says nothing about it.
_NO_DIFFERENCE = ("outputs", "run_dir", "overrides", "resume", "runs", "results", "annotations", "device.id")
_RANKED = ("finished", "unknown")


@dataclass(frozen=True)
class Comparison:
    """Runs, best first, then those without a figure to rank by; `keys` are the settings that differ."""

    runs: list[Run]
    keys: list[str]
    optimize: str
    direction: str

    @property
    def published(self) -> tuple[Published, ...]:
        """The published rows that belong beside these runs."""
        return PUBLISHED if any(run.setting("dataset.name") == DATASET for run in self.runs) else ()

    def value(self, run: Run) -> float | None:
        """The figure the run is ranked by; None where it is not finished, or has no such figure."""
        value = run.figures.get(self.optimize)
        return value if run.state in _RANKED and value is not None and _defined(self.optimize, value) else None

    def label(self, key: str) -> str:
        """A key's heading: its last part, unless another column ends so too."""
        short = _last_part(key)
        return short if [_last_part(other) for other in self.keys].count(short) == 1 else key

    def figures(self) -> list[str]:
        """The figures that some run has, as columns."""
        names = [*FIGURES, *([] if self.optimize in FIGURES else [self.optimize])]
        known = {name for run in self.runs for name in run.figures} | {n for row in self.published for n in row.figures}
        return [name for name in names if name in known]

    def header(self) -> list[str]:
        """The headings of `rows`."""
        labels = [FIGURES.get(name, (name, ""))[0] for name in self.figures()]
        return ["#", *map(self.label, self.keys), *labels, "time", "state", "run"]

    def rows(self) -> list[list[str]]:
        """The table: published rows stand where their figure puts them, without a number."""
        cells, published = [], sorted(self.published, key=self._published_order)
        for number, run in enumerate(self.runs, 1):
            value = self.value(run)
            while published and (value is None or self._published_order(published[0]) <= self._order(run)):
                cells.append(self._published_cells(published.pop(0)))
            cells.append(self._cells(run, "" if value is None else str(number)))
        return cells + [self._published_cells(row) for row in published]

    def troubles(self) -> list[tuple[str, str, str]]:
        """Name, state and reason of the runs that are not finished."""
        found = []
        for run in self.runs:
            if run.state not in _RANKED:
                steps = run.curve("train", "loss")[0]
                at = f"at step {steps[-1]}" if steps else "before the first step"
                found.append((run.name, run.state, run.reason if run.state == "failed" and run.reason else at))
        return found

    def _order(self, run: Run) -> float:
        value = self.value(run)
        return float("inf") if value is None else (-value if self.direction == "maximize" else value)

    def _published_order(self, row: Published) -> float:
        value = row.figures.get(self.optimize)
        return float("inf") if value is None else (-value if self.direction == "maximize" else value)

    def _cells(self, run: Run, number: str) -> list[str]:
        settings = [shown_setting(run.setting(key)) for key in self.keys]
        figures = [shown_figure(name, run.figures.get(name)) for name in self.figures()]
        time = "-" if run.seconds is None else duration_text(run.seconds)
        return [number, *settings, *figures, time, run.state, run.name]

    def _published_cells(self, row: Published) -> list[str]:
        settings = [row.backbone if key == "backbone" else "" for key in self.keys]
        figures = [shown_figure(name, row.figures.get(name)) for name in self.figures()]
        name = row.method if "backbone" in self.keys else f"{row.method}, {row.backbone}"
        return ["", *settings, *figures, "-", "published", name]


def compare(runs: Sequence[Run], optimize: str = "AP", direction: str = "maximize") -> Comparison:
    """The runs ranked by a figure ("maximize" or "minimize" it), with the settings that differ between them."""
    unranked = Comparison(list(runs), differing(runs), optimize, direction)
    return Comparison(sorted(runs, key=unranked._order), unranked.keys, optimize, direction)


def differing(runs: Sequence[Run]) -> list[str]:
    """The settings that tell the runs apart.

    First those that were typed in some run and differ in effect. Then any others that differ between runs alike in
    these, such as a default that changed: what a typed one brings along (backbone=r101 its clip size) is left out.
    """
    typed = list(dict.fromkeys(key for run in runs for key in run.typed))
    keys = [key for key in typed if key not in _NO_DIFFERENCE and len({_hashable(r.setting(key)) for r in runs}) > 1]
    for key in dict.fromkeys(key for run in runs for key in run.settings):
        if key in (*keys, *typed, *_NO_DIFFERENCE):
            continue
        groups: dict[Any, set[Any]] = {}
        for run in runs:
            alike = tuple(_hashable(run.setting(known)) for known in keys)
            groups.setdefault(alike, set()).add(_hashable(run.setting(key)))
        if any(len(values) > 1 for values in groups.values()):
            keys.append(key)
    return keys


def shown_figure(name: str, value: float | None) -> str:
    """A figure as text, a dash where there is none."""
    if value is None or not _defined(name, value):
        return "-"
    return format(value, FIGURES.get(name, ("", ".4g"))[1])


def shown_setting(value: Any) -> str:
    """A setting as text: a path as seen from the current folder, and of a long text its end, of a path whole parts."""
    text = "-" if value is None else str(value)
    if isinstance(value, float):
        text = f"{value:.4g}"
    text = text.removeprefix(f"{Path.cwd()}{os.sep}")
    if len(text) <= 32:
        return text
    end = text[-29:]
    return f"...{end[max(end.find(os.sep), 0) :]}"


def _defined(name: str, value: float) -> bool:
    return not (value < 0 and name.startswith(("AP", "AR")))


def _last_part(key: str) -> str:
    return key.replace("/", ".").rpartition(".")[2]


def _hashable(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else repr(value)
