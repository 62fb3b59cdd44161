"""Entries of an annotation file, checked as they are taken: each mistake is one sentence that names its place."""

from __future__ import annotations

from typing import Any

from vistr.data.values import is_finite, is_printable
from vistr.errors import UserError, shown

MAX_POINTS = 100_000  # of an outline


class Entry:
    """A JSON object and where it stands, such as "coco.json: image 3"; UserError where it is none."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise UserError(f"{place} is {shown(value, 40)}, not an object with keys")
        self.values, self.place = value, place

    def entries(self, key: str, kind: str) -> list[Entry]:
        """The list of objects under a key; `kind` is what their places call one."""
        values = self.values.get(key)
        if not isinstance(values, list):
            raise UserError(f"{self.place} lacks a list of '{key}'")
        return [Entry(value, f"{self.place}: {kind} {number}") for number, value in enumerate(values, 1)]

    def text(self, key: str) -> str:
        """A text that is not empty and can be printed."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip() or not is_printable(value):
            raise UserError(f"{self.place}: '{key}' must be a text, not {shown(value, 40)}")
        return value

    def identifier(self, key: str) -> int | str:
        """A whole number or a text."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
            raise UserError(f"{self.place}: '{key}' must be a whole number or a text, not {shown(value, 40)}")
        return value

    def side(self, key: str) -> int | None:
        """A number of pixels, None where there is no such key or it is null."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 65536:
            raise UserError(f"{self.place}: '{key}' must be a number of pixels, not {shown(value, 40)}")
        return round(value)

    def points(self, key: str) -> list[tuple[float, float]]:
        """A list of points [x, y]."""
        values = self.values.get(key)
        if not isinstance(values, list) or not values or len(values) > MAX_POINTS:
            raise UserError(f"{self.place}: '{key}' must be a list of points [x, y], not {shown(values, 40)}")
        for value in values:
            if not isinstance(value, list) or len(value) != 2 or not all(map(is_finite, value)):
                raise UserError(f"{self.place}: '{key}' holds {shown(value, 40)}, which is no point [x, y]")
        return [(float(x), float(y)) for x, y in values]
