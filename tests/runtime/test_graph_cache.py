"""Compiled graphs on disk: loaded where everything they depend on is the same, with the weights of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.processes import last_line

pytestmark = pytest.mark.slow  # every call of `used` is a process with MindSpore in it
ONE_ROW, TWO_ROWS = {"value": 2.0}, {"value": 3.0, "rows": 2}


def used(folder: Path, *calls: dict[str, Any]) -> tuple[list[float], list[str]]:
    """What a process of its own computes, and the first words of what it says of each graph."""
    values, words = json.loads(last_line("runtime/graph_user.py", str(folder), json.dumps(calls)))
    return values, words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a process left the graphs of two sizes."""
    kept = tmp_path_factory.mktemp("graphs")
    assert used(kept, ONE_ROW, TWO_ROWS) == ([2, 3], ["compiling"] * 2)
    return kept


def test_graphs_are_loaded_in_any_order_and_compute_with_the_weights_of_today(folder: Path) -> None:
    later = [TWO_ROWS | {"value": 5.0}, ONE_ROW | {"value": 7.0}]
    assert used(folder, *later) == ([5, 7], ["loading"] * 2)


@pytest.mark.parametrize(
    "other", [{"network": "another"}, {"name": "another"}, {"settings": "another"}, {"rows": 3}], ids=json.dumps
)
def test_whatever_a_graph_depends_on_counts(folder: Path, other: dict[str, Any]) -> None:
    # From the first graph that is not there on all are compiled: MindSpore looks for no more in such a process.
    assert used(folder, TWO_ROWS, {"value": 4.0} | other, ONE_ROW) == (
        [3, 4, 2],
        ["loading", "compiling", "compiling"],
    )


def test_a_damaged_file_is_compiled_anew_and_replaced(tmp_path: Path) -> None:
    used(tmp_path, ONE_ROW)
    (kept,) = tmp_path.rglob("*.mindir")
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    assert used(tmp_path, ONE_ROW, TWO_ROWS)[0] == [2, 3]
    assert used(tmp_path, ONE_ROW, TWO_ROWS) == ([2, 3], ["loading"] * 2)


@pytest.mark.parametrize("suffixes", [[".mindir"], [".mindir", ".hash", ".sum"]])
def test_files_in_another_graphs_place_are_compiled_anew(suffixes: list[str], tmp_path: Path) -> None:
    used(tmp_path, ONE_ROW, TWO_ROWS)
    one, two = tmp_path.rglob("*.mindir")
    for suffix in suffixes:
        first, second = one.with_suffix(suffix), two.with_suffix(suffix)
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)
    assert used(tmp_path, ONE_ROW, TWO_ROWS) == ([2, 3], ["compiling"] * 2)
    assert used(tmp_path, ONE_ROW, TWO_ROWS) == ([2, 3], ["loading"] * 2)


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for _ in range(2):
        assert used(tmp_path / "file", ONE_ROW) == ([2], ["compiling"])
