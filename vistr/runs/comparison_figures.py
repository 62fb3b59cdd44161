"""Runs side by side, drawn: the figure against each setting that differs, and the learning curves overlaid."""

from __future__ import annotations

import io
import itertools
import re
import statistics
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vistr.runs.comparison import Comparison, shown_setting
from vistr.runs.rows import finite_number
from vistr.runs.runs import Run
from vistr.runs.spread import SEED, Group, groups_of, keys_of
from vistr.text.fonts import drawable, fit_fonts

# Ten that can be told apart on white and on black; any further runs are grey.
COLORS = (
    "#3b7dd8", "#e0822e", "#3f9e63", "#d1495b", "#8a63c9", "#a67c52", "#d667ab", "#7f9b1e", "#21a3ad", "#c9a200",
)  # fmt: skip
GREY = "#8c8c8c"
MAX_SETTINGS = 6
SMOOTHING = 0.9
# Drawn in this colour, a text or an axis takes on the page's own.
_PAGE_COLOR = "#010203"


def draw_settings(comparison: Comparison) -> Figure | None:
    """The figure against each setting that differs, a dot a run; None where there is nothing to draw.

    Runs that differ in their seed alone stand together first, with their mean and standard deviation.
    """
    points = [run for run in comparison.runs if comparison.value(run) is not None]
    keys = [key for key in comparison.keys if len({shown_setting(run.setting(key)) for run in points}) > 1]
    groups = groups_of(comparison)
    keys = [key for key in keys if not (groups and key == SEED)][: MAX_SETTINGS - bool(groups)]
    if not keys and not groups:
        return None
    places = len(keys) + bool(groups)
    columns = min(places, 3)
    rows = -(-places // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), dpi=110, layout="constrained")
    if groups:
        axes = figure.add_subplot(rows, columns, 1)
        _draw_groups(axes, comparison, groups)
        _plain(axes)
    for position, key in enumerate(keys, 1 + bool(groups)):
        axes = figure.add_subplot(rows, columns, position)
        _draw_setting(axes, comparison, points, key)
        _plain(axes)
    fit_fonts(figure)
    return figure


def draw_curves(comparison: Comparison) -> Figure | None:
    """Training loss and evaluated figure over the steps, a line a run; None where no run has any."""
    runs = [run for run in comparison.runs if run.curve("train", "loss")[0] or run.curve("eval", "AP")[0]]
    if not runs:
        return None
    evaluated = comparison.optimize if any(run.curve("eval", comparison.optimize)[0] for run in runs) else "AP"
    figure = Figure(figsize=(11, 3.8 + 0.2 * min(len(runs), len(COLORS) + 1)), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for position, run in enumerate(runs):
        color = COLORS[position] if position < len(COLORS) else GREY
        label = _run_label(comparison, run) if position < len(COLORS) else "_others"
        steps, losses = run.curve("train", "loss")
        left.plot(steps, losses, color=color, alpha=0.2, linewidth=0.8)
        left.plot(steps, smoothed(losses), color=color, label=label)
        right.plot(*run.curve("eval", evaluated), color=color, marker="o", markersize=4)
    left.set_ylabel("training loss (thick: smoothed)")
    right.set_ylabel(evaluated)
    for axes in (left, right):
        axes.set_xlabel("optimizer step")
        _plain(axes)
    handles, labels = left.get_legend_handles_labels()
    if len(runs) > len(COLORS):
        labels[-1:] = [labels[-1], f"{len(runs) - len(COLORS)} more, in grey"]
        handles += left.plot([], [], color=GREY)
    figure.legend(handles, labels, loc="outside lower center", ncols=1 if len(runs) < 4 else 2, frameon=False)
    fit_fonts(figure)
    return figure


def smoothed(values: Sequence[float]) -> list[float]:
    """Exponentially weighted means, as TensorBoard's smoothing: unbiased from the first value on."""
    means, mean, weight = [], 0.0, 0.0
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        means.append(mean / weight)
    return means


def as_svg(figure: Figure) -> str:
    """The figure as an SVG element for a page: no background, text and axes in the page's colour and font."""
    for axes in figure.axes:
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            text.set_color(_PAGE_COLOR)
        axes.tick_params(which="both", colors=_PAGE_COLOR)
        for spine in axes.spines.values():
            spine.set_color(_PAGE_COLOR)
    for legend in figure.legends:
        for text in legend.get_texts():
            text.set_color(_PAGE_COLOR)
    written = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "vistr"}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :].replace(_PAGE_COLOR, "currentColor")
    # Without a height it may shrink with the page: the viewBox keeps the proportions.
    width = round(96 * figure.get_figwidth())
    return re.sub(r'(<svg [^>]*?)width="[^"]*pt" height="[^"]*pt" ', rf'\1width="{width}" ', svg, count=1)


def _draw_groups(axes: Axes, comparison: Comparison, groups: Sequence[Group]) -> None:
    """A dot a run, a column a group, its mean and standard deviation beside the dots."""
    for place, group in enumerate(groups):
        values = group.values(comparison)
        axes.plot([place] * len(values), values, "o", color=COLORS[0], alpha=0.5)
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        axes.errorbar(place + 0.2, statistics.fmean(values), deviation, fmt="D", color=COLORS[1], capsize=4)
    whole = ["\n".join(map(drawable, group.settings)) or "all" for group in groups]
    # Paths by their last part, where that tells them apart.
    short = ["\n".join(line.rpartition("/")[2] for line in label.split("\n")) for label in whole]
    axes.set_xticks(range(len(groups)), short if len(set(short)) == len(groups) else whole, fontsize="small")
    axes.margins(x=0.3)
    axes.set_xlabel(", ".join(map(comparison.label, keys_of(comparison))) + " (over seeds)")
    axes.set_ylabel(comparison.optimize)


def _draw_setting(axes: Axes, comparison: Comparison, runs: Sequence[Run], key: str) -> None:
    values = [run.setting(key) for run in runs]
    heights = [comparison.value(run) or 0.0 for run in runs]
    numbers = [float(value) for value in values if finite_number(value)]
    if len(numbers) == len(values):
        places, different = numbers, sorted(set(numbers))
        if min(numbers) > 0 and max(numbers) / min(numbers) >= 50:
            axes.set_xscale("log")
        elif _labels_fit(different):
            axes.set_xticks(different, [shown_setting(value) for value in different])
    else:
        order = list(dict.fromkeys(sorted(shown_setting(value) for value in values)))
        places = [float(order.index(shown_setting(value))) for value in values]
        axes.set_xticks(range(len(order)), [drawable(value) for value in order])
        axes.margins(x=0.2)
    axes.plot(places, heights, "o", color=COLORS[0], alpha=0.8)
    means = {x: statistics.fmean(h for p, h in zip(places, heights, strict=True) if p == x) for x in places}
    if len(means) < len(places) or len(comparison.keys) == 1:
        axes.plot(sorted(means), [means[x] for x in sorted(means)], color=COLORS[0], linewidth=1, alpha=0.6)
    axes.set_xlabel(comparison.label(key) + (" (line: mean)" if len(means) < len(places) else ""))
    axes.set_ylabel(comparison.optimize)


def _labels_fit(values: Sequence[float]) -> bool:
    """Whether sorted values, each with its label below an axis, leave the labels apart."""
    gaps = [b - a for a, b in itertools.pairwise(values)]
    return not gaps or 8 * min(gaps) >= values[-1] - values[0]


def _run_label(comparison: Comparison, run: Run) -> str:
    settings = [f"{comparison.label(key)}={shown_setting(run.setting(key))}" for key in comparison.keys]
    text = " ".join(settings) if settings else run.name
    state = "" if run.state in ("finished", "unknown") else f" ({run.state})"
    return (text if len(text) <= 70 else run.name[-70:]) + state


def _plain(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
