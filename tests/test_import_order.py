"""The rooms of the package import one way: along the order that the README states."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

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
FOUNDATION = ("errors", "files", "knobs", "pointers", "hub", "disk")
ENTRANCES = ("__init__", "__main__", "cli", "launcher")


def imported_from(file: Path) -> set[str]:
    """The modules of the package that a module imports, those for type checkers alone left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.If) for inner in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in typing and (node.module or "").startswith("vistr"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found - {"vistr.__version__"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_those_before_it(room: str) -> None:
    files = (ROOT / "vistr" / room).rglob("*.py")
    rooms = {name.split(".")[1] for file in files for name in imported_from(file) if ".settings" not in name}
    assert rooms <= {room, *FOUNDATION, *ROOMS[: ROOMS.index(room)]}


@pytest.mark.parametrize("file", sorted((ROOT / "vistr").glob("*/settings.py")), ids=lambda file: file.parent.name)
def test_settings_import_no_other_room_so_that_every_room_may_read_them(file: Path) -> None:
    assert {name.split(".")[1] for name in imported_from(file)} <= {file.parent.name, "text", *FOUNDATION}


def test_every_room_has_its_place() -> None:
    there = {path.stem for path in (ROOT / "vistr").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert there - {"__pycache__", "conf", "py"} == {*ROOMS, *FOUNDATION, *ENTRANCES}


def test_the_documentation_states_the_same_order() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Where things are")[2]
    drawn = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("```")[1]
    assert " ".join(ROOMS) in " ".join(readme.split())
    assert [line.split()[0] for line in drawn.strip().splitlines()] == ROOMS


@pytest.mark.parametrize("module", ["vistr.cli", "vistr.launcher", "vistr.tasks.compare", "vistr.sweeps.ranking"])
def test_what_composes_and_compares_does_without_mindspore(module: str) -> None:
    code = f"import sys, {module}; vistr.load_config(['experiment=tiny']); print('mindspore' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("False\n", "")
