"""Processes that may crash or hang without taking the check along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Row:
    """One line of the report: a question, its answer, and the figure it rests on."""

    name: str
    passed: bool
    figure: str

    def append_to(self, file: Path) -> None:
        """Write it down before anything else happens."""
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(asdict(self)) + "\n")


def rows_of(module_arguments: Sequence[str], minutes: float) -> tuple[list[Row], str | None]:
    """The rows that `python -m scripts.gpu_check.sections <arguments> <file>` wrote, and why it ended early, if so."""
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        file = Path(folder) / "rows.jsonl"
        file.touch()
        why = run([sys.executable, "-m", "scripts.gpu_check.sections", *module_arguments, str(file)], minutes)
        rows = [Row(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
    return rows, why


def run(command: Sequence[str], minutes: float) -> str | None:
    """Run a command in the repository's root; why it failed, None where it did not."""
    try:
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=minutes * 60
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {minutes:g} minutes"
    if ended.returncode == 0:
        return None
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if any(c.isalpha() for c in line)]
    how = f"signal {-ended.returncode}" if ended.returncode < 0 else f"status {ended.returncode}"
    return f"{how}: {lines[-1].strip()[:200] if lines else 'it said nothing'}"


def overrides(text: str) -> list[str]:
    """Overrides from a line of them."""
    return text.split()


def shown(path: Path) -> str:
    """A path as the report shows it, from the root where it lies below."""
    return os.path.relpath(path, ROOT) if path.is_relative_to(ROOT) else path.name
