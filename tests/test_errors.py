"""Sentences stay sentences, whatever is repeated in them."""

from __future__ import annotations

import pytest

from vistr.errors import MAX_SENTENCE, UserError, shortened


@pytest.mark.parametrize("value", ["x" * 500_000, "\x1b[2J\n\ud800" * 100, ["a"] * 1000, "é" * 301])
def test_a_sentence_is_one_printable_line_of_limited_length(value: object) -> None:
    sentence = str(UserError(f"weights.pth: {value} is no tensor: name another file"))
    assert len(sentence) <= MAX_SENTENCE
    assert sentence.isprintable()
    assert sentence.startswith("weights.pth: ")
    assert sentence.endswith("is no tensor: name another file")


def test_a_value_is_shown_by_its_two_ends() -> None:
    assert shortened("abc") == "abc"
    assert shortened("a" * 100 + "z" * 100, 12) == "aaaaaa...zzz"
