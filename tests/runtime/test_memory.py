"""Memory given back: what a compiled graph was called with last, once nobody reads it any more."""

from __future__ import annotations

import pytest

from tests.processes import last_line

MEGABYTES = 200


def growth(word: str) -> float:
    """Megabytes that the next large tensor adds to a process of its own."""
    return float(last_line("runtime/memory_user.py", str(MEGABYTES), word))


@pytest.mark.slow
def test_memory_that_was_released_is_used_again_although_a_graph_holds_the_tensor() -> None:
    assert growth("held") > MEGABYTES * 0.7
    assert growth("released") < MEGABYTES * 0.3
