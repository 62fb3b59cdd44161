"""A reader's inputs in child processes, limited in memory and time, so that a crash or a hang is counted as one."""

from __future__ import annotations

import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.mutate.changes import SOUND
from scripts.mutate.readers import Case, find_reader
from vistr.runtime import system

RIGHT = ("accepted", "sentence")
OUTCOMES = (*RIGHT, "exception", "poor", "wrong", "crash", "hang", "memory")
SENTENCE, SECONDS, MEGABYTES = 300, 10, 250
_LIMIT = 6 << 30  # of address space: a bomb ends in a MemoryError, not in the machine's


@dataclass(frozen=True)
class Found:
    """What one input came to; `place` is where in the package, `change` what was done to the input."""

    number: int
    change: str
    outcome: str
    detail: str = ""
    place: str = ""


def run_reader(name: str, seed: int, count: int, keep: Path | None = None, *, seconds: float = SECONDS) -> list[Found]:
    """What `count` inputs of a reader came to; a child that dies, or takes `seconds`, is followed by another."""
    found: list[Found] = []
    while len(found) < count:
        with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
            for one in _child(name, seed, len(found), count, Path(folder), seconds):
                found.append(one)
                if keep is not None and one.outcome not in RIGHT:
                    _keep(keep / f"{name}-{one.number}", Path(folder), one, found)
    return found


def _child(name: str, seed: int, start: int, count: int, folder: Path, seconds: float) -> Iterator[Found]:
    command = [sys.executable, "-m", "scripts.mutate.running", name, str(seed), str(start), str(count), str(folder)]
    with (folder / "stderr").open("wb") as said:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, start_new_session=True)
    assert child.stdout is not None
    number, began, buffer = start, time.monotonic(), b""
    started = False
    try:
        while True:
            limit = seconds if started else 120
            if select.select([child.stdout], [], [], max(0.0, began + limit - time.monotonic()))[0]:
                chunk = os.read(child.stdout.fileno(), 1 << 16)
                if not chunk:
                    break
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    began, started = time.monotonic(), True
                    if line != b"ready":
                        yield Found(**json.loads(line))
                        number += 1
            else:
                yield Found(number, "", "hang", f"over {limit} s")
                return
        status = child.wait()
        last = (folder / "stderr").read_text(errors="replace")[-300:].replace("\n", " ")
        if not started:
            raise RuntimeError(f"the reader {name} could not start: {last}")
        if number < count:
            yield Found(number, "", "crash", f"status {status}: {last}")
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _keep(target: Path, folder: Path, one: Found, found: list[Found]) -> None:
    if sum((other.outcome, other.place) == (one.outcome, one.place) for other in found) > 2:
        return
    kept = folder / f"failed-{one.number}"
    shutil.copytree(kept if kept.is_dir() else folder / "input", target, dirs_exist_ok=True)
    (target / "outcome.json").write_text(json.dumps(asdict(one), indent=1), encoding="utf-8")


def _serve(name: str, seed: int, start: int, count: int, folder: Path) -> None:
    """The child: a line of JSON to the standard output for every input."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ["GLOG_v"] = "4"  # noqa: SIM112 (so MindSpore spells it)
    warnings.simplefilter("ignore")
    make = find_reader(name)(folder)
    resource.setrlimit(resource.RLIMIT_AS, (system.address_space() + _LIMIT,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out.write("ready\n")
    for number in range(start, count):
        case = make(random.Random(f"{seed} {name} {number}"))
        shutil.rmtree(folder / "input", ignore_errors=True)
        for place, data in case.files.items():
            path = folder / "input" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        found = _outcome(number, case)
        if found.outcome not in RIGHT and (folder / "input").is_dir():
            (folder / "input").rename(folder / f"failed-{number}")
        out.write(json.dumps(asdict(found)) + "\n")
    out.flush()
    os._exit(0)


def _outcome(number: int, case: Case) -> Found:
    from vistr.errors import UserError

    outcome, detail, place = "accepted", "", ""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, by_children = _held("VmRSS"), _held_by_children()
    try:
        if wrong := case.read():
            outcome, detail = "wrong", wrong
    except UserError as error:
        outcome, detail = "sentence", str(error)
        if not detail.strip() or "\n" in detail or len(detail) > SENTENCE:
            outcome, place = "poor", _place(error)
            detail = f"{len(detail)} characters: {detail}"
    except BaseException as error:
        outcome, place = "exception", f"{type(error).__name__} @ {_place(error)}"
        detail = str(error)
    grown = max(_held("VmHWM") - before, _held_by_children() - by_children) / 1e6
    if outcome in RIGHT and grown > MEGABYTES:
        outcome, detail = "memory", f"{grown:.0f} MB, then {outcome}: {detail}"
    if outcome == "sentence" and case.change.endswith(SOUND):
        outcome, detail = "wrong", f"a sound input is refused: {detail}"
    return Found(number, case.change[:160], outcome, " ".join(detail.split())[:200], place)


def _held(key: str) -> int:
    """Bytes that this process holds (VmRSS), or held at most since the peak was reset (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def _held_by_children() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def _place(error: BaseException) -> str:
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "/vistr/" in f.filename]
    return " < ".join(reversed(ours[-2:]))


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
