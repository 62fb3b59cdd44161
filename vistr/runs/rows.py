"""`metrics.jsonl`: what a run recorded step by step, read so that no damaged line costs the others."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.jsonl"


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl`; none where it has no such file."""
    return [row for _, row in numbered_lines(folder / METRICS_FILE)]


def numbered_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lines of a `metrics.jsonl` that are rows of a step, each with its row.

    A line that is not JSON is left out: the last one of a run that is just writing it, or a damaged one.
    """
    try:
        text = file.read_bytes().decode(errors="replace")
    except OSError:
        return
    for line in text.split("\n"):
        row = None
        with suppress(ValueError, RecursionError):
            row = _row(json.loads(line))
        if row is not None:
            yield line, row


def finite_number(value: Any) -> bool:
    """Whether a value read from JSON is a number that can be averaged and drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and not math.isnan(value)


def _row(content: Any) -> dict[str, Any] | None:
    """The entries of a row that are what they should be: step and epoch whole numbers, kind text, scalars or null."""
    if not isinstance(content, dict) or type(content.get("step")) is not int or not finite_number(content["step"]):
        return None
    row = {key: value for key, value in content.items() if value is None or finite_number(value)}
    if isinstance(content.get("kind"), str):
        row["kind"] = content["kind"]
    return row
