"""Runs that differ in their seed alone, taken together: the mean of a figure and how far the seeds lie apart."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from vistr.runs.comparison import FIGURES, Comparison, shown_figure, shown_setting
from vistr.runs.runs import Run

SEED = "seed"
_SHOWN = ("AP", "AP50", "AP75", "AR1", "AR10", "loss")
CAPTION = "Over seeds: mean ± standard deviation"


@dataclass(frozen=True)
class Group:
    """Finished runs that are alike in all settings but the seed."""

    settings: tuple[str, ...]
    runs: list[Run]

    def values(self, comparison: Comparison) -> list[float]:
        """The figure that the runs are ranked by."""
        return [value for run in self.runs if (value := comparison.value(run)) is not None]

    def figures(self, name: str) -> list[float]:
        """The runs' values of a figure, those alone that have it."""
        return [run.figures[name] for run in self.runs if shown_figure(name, run.figures.get(name)) != "-"]

    def mean_and_deviation(self, name: str) -> tuple[float | None, float | None]:
        """Of a figure; None where no run has it, and the deviation where only one has."""
        values = self.figures(name)
        mean = statistics.fmean(values) if values else None
        return mean, statistics.stdev(values) if len(values) > 1 else None


def keys_of(comparison: Comparison) -> list[str]:
    """The settings that tell the groups apart."""
    return [key for key in comparison.keys if key != SEED]


def groups_of(comparison: Comparison) -> list[Group]:
    """The groups, that of the best mean first; none where no two runs differ in their seed alone."""
    found: dict[str, Group] = {}
    for run in comparison.runs:
        if comparison.value(run) is not None:
            settings = [run.setting(key) for key in keys_of(comparison)]
            shown = tuple(shown_setting(setting) for setting in settings)
            found.setdefault(repr(settings), Group(shown, [])).runs.append(run)
    if SEED not in comparison.keys or all(len(group.runs) < 2 for group in found.values()):
        return []
    sign = -1 if comparison.direction == "maximize" else 1
    return sorted(found.values(), key=lambda group: sign * statistics.fmean(group.values(comparison)))


def spread_table(comparison: Comparison) -> list[list[str]]:
    """Headings, then a row a group; nothing where there are no groups."""
    groups = groups_of(comparison)
    if not groups:
        return []
    shown = [name for name in comparison.figures() if name in _SHOWN or name == comparison.optimize]
    labels = [FIGURES.get(name, (name, ""))[0] for name in shown]
    rows = [[*map(comparison.label, keys_of(comparison)), "runs", *labels, f"least to most {comparison.optimize}"]]
    for group in groups:
        figures = [_mean_and_deviation(name, group) for name in shown]
        ends = [shown_figure(comparison.optimize, end(group.values(comparison))) for end in (min, max)]
        rows.append([*group.settings, str(len(group.runs)), *figures, " to ".join(ends)])
    return rows


def _mean_and_deviation(name: str, group: Group) -> str:
    mean, deviation = group.mean_and_deviation(name)
    shown = shown_figure(name, mean)
    return shown if deviation is None else f"{shown} ± {shown_figure(name, deviation)}"
