"""State of a run, in its folder's `status.json`: running, finished, failed (and why) or interrupted."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from vistr.errors import UserError
from vistr.files import replacing
from vistr.runs.rows import finite_number
from vistr.runtime import parallel

FILE = "status.json"
HEARTBEAT_SECONDS = 20.0
# Another machine's run counts as going on while its file is this fresh; clocks and network disks lag.
SILENT_SECONDS = 180.0
State = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True)
class RunRecord:
    """A run's state. `seconds` is its time over all sessions, up to the present one where it is running.

    `overrides` is what was typed, without a `resume=`; `pid` and `process_start` (clock ticks since boot) name
    the process on `host`.
    """

    state: State
    task: str = ""
    reason: str | None = None
    overrides: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    started: float = 0.0
    ended: float | None = None
    seconds: float = 0.0
    host: str = ""
    pid: int = 0
    process_start: int = 0


def read_record(folder: Path) -> RunRecord | None:
    """The record in a run's folder; None where there is none that can be read.

    A run that was killed could not write so: its record says "running", what is returned says "interrupted".
    """
    record = _stated(folder)
    if record is None or record.state != "running":
        return record
    try:
        beat = (folder / FILE).stat().st_mtime
    except OSError:
        return record
    lasted = max(beat - record.started, 0.0)
    if _is_alive(record, beat):
        return replace(record, seconds=record.seconds + lasted)
    reason = "its process ended without a word: killed, or the machine went down"
    return replace(record, state="interrupted", reason=reason, ended=beat, seconds=record.seconds + lasted)


def write_record(folder: Path, record: RunRecord) -> None:
    """Write the record, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / FILE) as draft:
        draft.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")


def _overwrite(folder: Path, record: RunRecord) -> None:
    """Write the record where the one before stands: a full disk has no room for another file.

    Where that fails too the record still says "running", of a process that is no more.
    """
    with suppress(OSError), (folder / FILE).open("r+b") as file:
        file.write(json.dumps(asdict(record)).encode())
        file.truncate()


@contextmanager
def recording(folder: Path, task: str, overrides: Sequence[str]) -> Iterator[dict[str, float]]:
    """Keeps the record of a run while its body runs; the body puts the run's figures into the dict it gets.

    The record is the one by which this process has claimed the folder, or a new one. Whatever ends the body is
    recorded and goes on its way.
    """
    figures: dict[str, float] = {}
    if parallel.rank() > 0:
        yield figures  # one process of several speaks for the run
        return
    record = _claimed(folder)
    if record is None:
        record = new_record(task, overrides)
        write_record(folder, record)
    earlier = record.seconds

    def ended(state: State, reason: str | None = None) -> None:
        now = time.time()
        seconds = earlier + now - record.started
        last = replace(record, state=state, reason=reason, figures=finite(figures), ended=now, seconds=seconds)
        try:
            write_record(folder, last)
        except OSError:
            if state == "finished":
                raise
            _overwrite(folder, last)

    try:
        with _heartbeat(folder / FILE):
            yield figures
    except KeyboardInterrupt:
        ended("interrupted", "stopped by a signal")
        raise
    except Exception as error:
        ended("failed", why(error))
        raise
    ended("finished")


def new_record(task: str, overrides: Sequence[str], seconds: float = 0.0) -> RunRecord:
    """The record of a run that this process begins now; `seconds` is the time it took before."""
    pid = os.getpid()
    return RunRecord(
        "running",
        task,
        overrides=[override for override in overrides if not override.startswith("resume=")],
        started=time.time(),
        seconds=seconds,
        host=socket.gethostname(),
        pid=pid,
        process_start=_process_start(pid),
    )


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    """The figures as plain numbers, without those that are not finite: JSON has no word for them."""
    plain = {name: float(value) for name, value in figures.items()}
    return {name: value for name, value in plain.items() if math.isfinite(value)}


def why(error: Exception) -> str:
    """The error, in one line."""
    first = str(error).strip().partition("\n")[0]
    if isinstance(error, UserError):
        return first
    text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    memory = isinstance(error, MemoryError) or "memory" in str(error).lower()
    return f"out of memory ({text})" if memory else text


def explain_exit(status: int) -> str:
    """Why a process ended that recorded nothing, from its exit status."""
    if status == -9:
        return "killed by the system, most likely because the memory ran out"
    if status < 0:
        return f"ended by signal {-status}"
    return f"ended with status {status}; what it printed says why"


def _claimed(folder: Path) -> RunRecord | None:
    """The record of a run that this process has entered itself as and not ended."""
    record = _stated(folder)
    mine = (socket.gethostname(), os.getpid(), _process_start(os.getpid()))
    if record is None or record.state != "running" or (record.host, record.pid, record.process_start) != mine:
        return None
    return record


def _stated(folder: Path) -> RunRecord | None:
    """The record in a folder, whether or not its process is alive."""
    try:
        return _record(json.loads((folder / FILE).read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None


def _record(content: Any) -> RunRecord | None:
    """The record that a JSON document states; an entry that is not of its type takes its default."""
    if not isinstance(content, dict) or content.get("state") not in get_args(State):
        return None
    tests: dict[str, Callable[[Any], bool]] = {
        "task": lambda value: isinstance(value, str),
        "reason": lambda value: isinstance(value, str),
        "overrides": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
        "host": lambda value: isinstance(value, str),
        "pid": lambda value: type(value) is int and 0 <= value < 2**32,
        "process_start": lambda value: type(value) is int,
        **dict.fromkeys(("started", "ended", "seconds"), finite_number),
    }
    kept = {key: content[key] for key, holds in tests.items() if key in content and holds(content[key])}
    figures = content.get("figures")
    numbers = {k: v for k, v in figures.items() if finite_number(v)} if isinstance(figures, dict) else {}
    return RunRecord(state=content["state"], figures=numbers, **kept)


@contextmanager
def _heartbeat(file: Path) -> Iterator[None]:
    """Touches the file now and then, so that other machines see that the run goes on."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):
                os.utime(file)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _is_alive(record: RunRecord, beat: float) -> bool:
    if record.host == socket.gethostname():
        return record.pid > 0 and _process_start(record.pid) == record.process_start
    return time.time() - beat < SILENT_SECONDS


def _process_start(pid: int) -> int:
    """When a process of this machine started, in ticks since boot: tells it from a later one of the same number."""
    try:
        # The second field, the command, is in brackets and may hold spaces; a dead child not yet waited for is Z.
        after = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if after[0] == "Z" else int(after[19])
