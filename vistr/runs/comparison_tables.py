"""A comparison of runs as tables: for the terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from vistr.runs.comparison import Comparison
from vistr.runs.published import NOTE
from vistr.runs.spread import CAPTION, SEED, groups_of, spread_table
from vistr.text.csv_cells import cells


def text_table(comparison: Comparison) -> str:
    """The table for the terminal, that over seeds if any, then the runs that are not finished and why."""
    # Numbers to the right; state and name, the last two, to the left.
    lines = _aligned([comparison.header(), *comparison.rows()], num_left=2)
    if spread := spread_table(comparison):
        lines += ["", f"{CAPTION}", *_aligned(spread)]
    troubles = [f"  {name}: {state}, {reason}" for name, state, reason in comparison.troubles()]
    lines += ["", "Not finished:", *troubles] if troubles else []
    lines += ["", NOTE] if comparison.published else []
    return "\n".join(lines)


def markdown_table(comparison: Comparison) -> str:
    """The same as Markdown."""
    lines = _markdown([comparison.header(), *comparison.rows()], num_left=2)
    if spread := spread_table(comparison):
        lines += ["", f"{CAPTION}:", "", *_markdown(spread)]
    troubles = [f"- `{name}`: {state}, {reason}" for name, state, reason in comparison.troubles()]
    lines += ["", "Not finished:", "", *troubles] if troubles else []
    lines += ["", NOTE] if comparison.published else []
    return "\n".join(lines) + "\n"


def csv_table(comparison: Comparison) -> str:
    """Every figure in full, with the settings by their whole names; what is taken over seeds has no seed."""
    names = list(dict.fromkeys([*comparison.figures(), *(name for run in comparison.runs for name in run.figures)]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(cells(["run", "state", "reason", *comparison.keys, *names, "seconds", "folder"]))
    for run in comparison.runs:
        settings = [run.setting(key) for key in comparison.keys]
        figures = [run.figures.get(name) for name in names]
        writer.writerow(cells([run.name, run.state, run.reason, *settings, *figures, run.seconds, run.folder]))
    for group in (one for one in groups_of(comparison) if len(one.runs) > 1):
        settings = [None if key == SEED else group.runs[0].setting(key) for key in comparison.keys]
        means, deviations = zip(*map(group.mean_and_deviation, names), strict=True)
        for state, spread in (("mean over seeds", means), ("standard deviation over seeds", deviations)):
            writer.writerow(cells([f"{len(group.runs)} runs", state, None, *settings, *spread, None, None]))
    for row in comparison.published:
        published: list[Any] = [row.backbone if key == "backbone" else None for key in comparison.keys]
        name = f"{row.method}, {row.backbone}"
        writer.writerow([name, "published", None, *published, *(row.figures.get(one) for one in names), None, None])
    return text.getvalue()


def _aligned(table: Sequence[Sequence[str]], num_left: int = 0) -> list[str]:
    """Rows of columns as wide as their widest cell, the last `num_left` aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    first_left = len(widths) - num_left
    return [
        "  ".join(
            cell.rjust(width) if place < first_left else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _markdown(table: Sequence[Sequence[str]], num_left: int = 0) -> list[str]:
    sides = ["--:"] * (len(table[0]) - num_left) + ["---"] * num_left
    rows = [table[0], sides, *table[1:]]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
