"""Writes constraints.txt: the newest versions pip resolves for pyproject.toml, on every Python given.

Usage: python scripts/lock.py python3.10 python3.11 python3.12      (or `make lock`)
Nothing is installed; a version that differs between Pythons gets a marker.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# The versions the tests pass with, for every Python that is supported. `make lock` writes this file.
"""


def resolve(python: str) -> tuple[str, dict[str, str]]:
    """The interpreter's version ("3.11") and what pip would install with it: {name: version}."""
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--report", str(report), f"{ROOT}[test]"], check=True)
        installs = json.loads(report.read_text())["install"]
    packages = {one["metadata"]["name"].lower(): one["metadata"]["version"] for one in installs}
    del packages["vistr-mindspore"]
    return version, packages


def constraint_lines(resolved: dict[str, dict[str, str]]) -> list[str]:
    """One line a package and version, with a marker where Pythons differ."""
    lines = []
    for name in sorted(set().union(*resolved.values())):
        pythons: dict[str, list[str]] = {}
        for python, packages in resolved.items():
            if name in packages:
                pythons.setdefault(packages[name], []).append(python)
        for version, where in pythons.items():
            marker = " or ".join(f'python_version == "{python}"' for python in where)
            lines.append(f"{name}=={version}" + (f" ; {marker}" if len(pythons) > 1 else ""))
    return lines


def main(pythons: list[str]) -> None:
    """Resolve on each interpreter and write the file."""
    lines = constraint_lines(dict(resolve(python) for python in pythons))
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n")
    print(f"constraints.txt: {len(lines)} lines, from {' '.join(pythons)}")


if __name__ == "__main__":
    main(sys.argv[1:] or [sys.executable])
