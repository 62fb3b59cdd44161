"""Processes that end when the one that started them does, also where that one was killed without a word."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

PARENT = "VISTR_PARENT_PROCESS"
_PR_SET_PDEATHSIG = 1


def child_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment, by default this process's, for one that it starts and that is to `end_with_parent`."""
    return {**(os.environ if environment is None else environment), PARENT: str(os.getpid())}


def end_with_parent(number: signal.Signals) -> None:
    """In a process that was started with `child_environment`: get a signal when its parent dies, on Linux.

    The one who gave the environment may have started the parent in its turn (the launcher starts msrun, msrun the
    ranks): the signal comes with the end of the parent itself.
    """
    expected = os.environ.pop(PARENT, None)
    if expected is not None and sys.platform == "linux":
        signal_at_parents_end(number)
        if int(expected) not in _ancestors():
            os.kill(os.getpid(), number)


def signal_at_parents_end(number: signal.Signals) -> None:
    """Have the system send a signal to this process when its parent dies; it outlasts an exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def _ancestors() -> set[int]:
    import psutil

    return {process.pid for process in psutil.Process().parents()}
