"""Memory given back: what a compiled graph was called with last, once nobody reads it any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEGABYTES = 200


def growth(word: str) -> float:
    """Megabytes that the next large tensor adds to a process of its own."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "layers" / "memory_user.py"), str(MEGABYTES), word],
        env=os.environ | {"PYTHONPATH": str(ROOT), "GLOG_v": "3"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1])


def test_memory_that_was_released_is_used_again_although_a_graph_holds_the_tensor() -> None:
    assert growth("held") > MEGABYTES * 0.9
    assert growth("released") < MEGABYTES * 0.1
