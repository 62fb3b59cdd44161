"""The mutation program counts every way in which a reader can fail, and makes the same inputs from the same seed."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from scripts.mutate.changes import change_bytes, change_json
from scripts.mutate.running import OUTCOMES, RIGHT, run_reader


@pytest.mark.slow
def test_every_way_to_fail_is_counted_and_its_input_kept(tmp_path: Path) -> None:
    found = run_reader("tests.mutate.misbehaving:reader", 1, 24, tmp_path, seconds=5)
    assert [one.number for one in found] == list(range(24))
    by_way = {one.change: one.outcome for one in found if one.change}
    expected = ("accepted", "sentence", "exception", "poor", "wrong", "memory")
    assert by_way == dict(zip("012347", expected, strict=True))
    assert {one.outcome for one in found} == set(OUTCOMES)
    for kind in set(OUTCOMES) - set(RIGHT):
        first = next(one for one in found if one.outcome == kind)
        way = (tmp_path / f"tests.mutate.misbehaving:reader-{first.number}" / "way").read_text()
        assert way == {"exception": "2", "poor": "3", "wrong": "4", "crash": "5", "hang": "6", "memory": "7"}[kind]


def test_the_same_seed_makes_the_same_inputs() -> None:
    content = {"a": [1, {"b": "text"}], "c": None}
    for number in range(300):
        change, changed = change_json(content, Random(number))
        assert repr(change_json(content, Random(number))) == repr((change, changed))
        assert content == {"a": [1, {"b": "text"}], "c": None}
        assert change_bytes(b"0123456789" * 9, Random(number)) == change_bytes(b"0123456789" * 9, Random(number))
