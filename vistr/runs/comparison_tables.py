"""A comparison of runs as tables: for the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from vistr.runs.comparison import Comparison
from vistr.runs.published import NOTE
from vistr.runs.spread import CAPTION, spread_table


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
