"""One life of a training: it is started, and killed at a moment that is drawn."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# What a moment can wait for, and how often each is drawn.
KINDS = {"time": 3, "step": 3, "checkpoint": 3, "evaluation": 3}
WATCHED = {
    "step": ("metrics.jsonl",),
    "evaluation": ("results/results.json", "metrics.json", "ema/results/results.json"),
}


@dataclass(frozen=True)
class Moment:
    """When to kill: after `seconds`, or `seconds` after the `count`-th thing of a kind has been seen."""

    kind: str
    count: int
    seconds: float

    @classmethod
    def draw(cls, draw: random.Random, longest: float) -> Moment:
        """A moment within a run that takes `longest` seconds."""
        kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "time":
            return cls(kind, 0, draw.uniform(0, longest))
        # While a checkpoint is written, most are to hit.
        return cls(kind, draw.randint(1, 8), draw.uniform(0, 0.01 if kind == "checkpoint" else 0.2))


class Life:
    """A process forked off this one, which has imported everything: that would be most of the time of each."""

    def __init__(self, arguments: Sequence[str], folder: Path, log: Path) -> None:
        self.folder = folder
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            _live(arguments, log)
        self.status: int | None = None

    def kill_at(self, moment: Moment, number: signal.Signals) -> bool:
        """Send the signal at the moment and wait for the end; False where the end came first."""
        seen: set[tuple[str, int]] = set(self._things(moment.kind))
        num_before = len(seen)
        until = self.started + moment.seconds if moment.kind == "time" else None
        while not self.is_over():
            seen |= self._things(moment.kind)
            if until is None and len(seen) - num_before >= moment.count:
                until = time.monotonic() + moment.seconds
            if until is not None and time.monotonic() >= until:
                os.kill(self.pid, number)
                self.wait()
                return True
            time.sleep(0.001)
        return False

    def is_over(self) -> bool:
        """Whether the process has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def wait(self) -> int:
        """The exit status; -n where signal n ended it."""
        while not self.is_over():
            time.sleep(0.005)
        assert self.status is not None
        return self.status

    def _things(self, kind: str) -> set[tuple[str, int]]:
        """What has been made of a kind: files with the time of their last change; of checkpoints, their drafts."""
        paths = [self.folder / name for name in WATCHED.get(kind, ())]
        if kind == "checkpoint":
            paths = list((self.folder / "checkpoints").glob(".*"))
        found = set()
        for path in paths:
            with suppress(OSError):
                stat = path.stat()
                found.add((path.name, stat.st_ino if kind == "checkpoint" else stat.st_mtime_ns))
        return found


def _live(arguments: Sequence[str], log: Path) -> None:
    """The process that trains; never returns."""
    status = 1
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        from vistr.cli import main

        sys.argv = ["run.py"]
        status = main(arguments)
    except KeyboardInterrupt:
        status = 130
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
