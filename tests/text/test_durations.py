"""Durations in words."""

from __future__ import annotations

import pytest

from vistr.text.durations import duration_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (41.2, "41s"), (98, "98s"), (99.9, "2m"), (720, "12m"), (11100, "3h05m"), (187200, "2d04h")],
)
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
    assert duration_text(float("nan")) == "?"
