"""A process that was killed leaves none behind that it had started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from vistr.files import ROOT
from vistr.runtime import child_process
from vistr.runtime.child_process import PARENT, child_environment, end_with_parent

ASKS = """
import sys
from pathlib import Path
from vistr.runtime.subprocess_call import ask_apart
ask_apart("sleeper", {}, root=Path(sys.argv[1]))
"""
SLEEPER = """
import os, sys, time
from pathlib import Path
Path(__file__).with_name("pid").write_text(str(os.getpid()))
time.sleep(600)
"""


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_question_ends_with_the_process_that_asked(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    asking = subprocess.Popen([sys.executable, "-c", ASKS, str(tmp_path)], env=os.environ | {"PYTHONPATH": str(ROOT)})
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    asked = int((tmp_path / "pid").read_text())
    asking.kill()
    asking.wait()
    wait_for(lambda: not psutil.pid_exists(asked) or psutil.Process(asked).status() == psutil.STATUS_ZOMBIE)


def test_one_whose_parent_is_gone_already_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(child_process, "signal_at_parents_end", lambda number: None)
    monkeypatch.setenv(PARENT, "999999999")
    end_with_parent(signal.SIGTERM)
    assert sent == [(os.getpid(), signal.SIGTERM)]
    assert PARENT not in os.environ


def test_an_environment_given_to_a_child_names_this_process() -> None:
    assert child_environment()[PARENT] == str(os.getpid())
