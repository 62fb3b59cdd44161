"""Scripts in processes of their own, run.py among them as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vistr.files import ROOT

# The smallest videos that go all the way.
SMALL = (
    "experiments=quickstart",
    "num_frames=2",
    "dataset.num_videos=4",
    "dataset.video_length=3",
    "dataset.height=32",
    "dataset.width=64",
    "dataset.num_workers=1",
    "schedule.warmup_steps=0",
)


def run(folder: Path, *arguments: str) -> str:
    """What run.py prints, in a folder of its own; it must succeed."""
    return _printed([str(ROOT / "run.py"), *arguments], folder)


def last_line(script: str, *arguments: str) -> str:
    """What a script of tests/ says at its end; it must succeed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GLOG_v": "3"}
    return _printed([str(ROOT / "tests" / script), *arguments], None, environment).splitlines()[-1]


def _printed(command: list[str], folder: Path | None, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
