"""A small share of what `python -m scripts.mutate` does: mutated inputs for every reader."""

from __future__ import annotations

import pytest

from scripts.mutate.readers import READERS
from scripts.mutate.running import RIGHT, run_reader

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", READERS)
def test_a_mutated_input_is_read_right_or_refused_in_one_sentence(name: str) -> None:
    found = run_reader(name, seed=7, count=20, seconds=60)
    assert [one for one in found if one.outcome not in RIGHT] == []
