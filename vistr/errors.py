"""The one exception that means "the user can mend this", and how its sentence shows values without getting long."""

from __future__ import annotations

# The longest sentence that is shown; a part of one, such as a value that was typed, is shortened to fewer.
MAX_SENTENCE = 300
MAX_VALUE = 80


class UserError(Exception):
    """A mistake the user can mend: one sentence that names the file or key, the entry, and what to do.

    Whatever it repeats of a file, it is one line of printable characters, at most MAX_SENTENCE.
    """

    def __init__(self, sentence: object) -> None:
        super().__init__(shortened(sentence, MAX_SENTENCE))


def shortened(value: object, limit: int = MAX_VALUE) -> str:
    """A value as printable text of at most `limit` characters on one line: of a longer one, its start and its end."""
    text = "".join(one if one.isprintable() else " " for one in str(value).strip())
    if len(text) <= limit:
        return text
    start = (limit - 3) * 2 // 3
    return f"{text[:start]}...{text[len(text) - (limit - 3 - start) :]}"


def shown(value: object, limit: int = 60) -> str:
    """A value of a file, or an error, as a sentence quotes it: `shortened`, and whatever the value is."""
    try:
        text = str(value) if isinstance(value, Exception) else repr(value)
    except Exception:  # numbers of thousands of digits, structures nested too deeply
        text = f"a {type(value).__name__}"
    return shortened(text.encode("utf-8", "backslashreplace").decode("utf-8"), limit)
