"""Cells of CSV files: a name from somebody's data must not become a formula where a spreadsheet opens it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# What makes a spreadsheet compute, or a cell of its own out of the rest.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def cells(values: Iterable[Any]) -> list[Any]:
    """The values of a row; an apostrophe before texts that would be formulas says that they are texts."""
    return [f"'{value}" if isinstance(value, str) and _is_formula(value) else value for value in values]


def _is_formula(text: str) -> bool:
    if not text.lstrip(" ").startswith(_FORMULA_STARTS):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False  # a number, such as -0.5
