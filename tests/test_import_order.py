"""The rooms of the package import one way: along the order that the README states."""

from __future__ import annotations

import ast

import pytest

from vistr.files import ROOT

ROOMS = [
    "runtime",
    "text",
    "data",
    "layers",
    "models",
    "losses",
    "config",
    "weights",
    "runs",
    "training",
    "inference",
    "evaluation",
    "drawing",
    "benchmark",
    "sweeps",
    "tasks",
]
# Modules beside the rooms: what every room may use, and what starts everything.
FOUNDATION = ("errors", "files", "pointers", "hub", "disk")
ENTRANCES = ("__init__", "__main__", "cli", "launcher")


def rooms_imported(room: str) -> set[str]:
    """The rooms that a room's modules import, those for type checkers alone left out."""
    found = set()
    for file in (ROOT / "vistr" / room).rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        typing = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.If) for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and id(node) not in typing and (node.module or "").startswith("vistr"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found |= {name.split(".")[1] for name in names}
    return found - {room, "__version__"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_those_before_it(room: str) -> None:
    before = {*FOUNDATION, *ROOMS[: ROOMS.index(room)]}
    assert rooms_imported(room) <= before


def test_every_room_has_its_place() -> None:
    there = {path.stem for path in (ROOT / "vistr").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert there - {"__pycache__", "conf", "py"} == {*ROOMS, *FOUNDATION, *ENTRANCES}


def test_the_readme_states_the_same_order() -> None:
    drawn = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Where things are")[2].split("```")[1]
    assert [line.split()[0] for line in drawn.strip().splitlines()] == ROOMS
