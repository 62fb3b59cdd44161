"""Values of JSON files: what is a number, what is a text, what is a file name."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Any


def is_finite(value: Any) -> bool:
    """Whether a value is a number that a float holds."""
    if type(value) is float:  # most of a large file's numbers
        return math.isfinite(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def is_printable(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON may hold lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def printable(text: str) -> str:
    """The text with a question mark for what cannot be written as UTF-8."""
    return text.encode("utf-8", "replace").decode()


def is_inside(name: str) -> bool:
    """Whether a file name stays inside the folder it is looked for in, and can be one."""
    path = PurePosixPath(name)
    if not is_printable(name) or path.is_absolute() or ".." in path.parts or not path.name:
        return False
    return all(len(part.encode()) < 256 for part in path.parts) and len(name.encode()) < 1024
