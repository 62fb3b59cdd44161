"""The one exception that means "the user can mend this", and how long its sentence may get."""

from __future__ import annotations

# The longest sentence that is shown; a part of one, such as a value that was typed, is shortened to fewer.
MAX_SENTENCE = 300
MAX_VALUE = 80


class UserError(Exception):
    """A mistake the user can mend: one sentence that names the file or key, the entry, and what to do."""


def shortened(value: object, limit: int = MAX_VALUE) -> str:
    """A value as text of at most `limit` characters on one line: of a longer one, its start and its end."""
    text = " ".join(str(value).splitlines())
    if len(text) <= limit:
        return text
    start = (limit - 3) * 2 // 3
    return f"{text[:start]}...{text[len(text) - (limit - 3 - start) :]}"
