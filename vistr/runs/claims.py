"""Claims on run folders: a folder belongs to one run, and one process at a time works in it.

The claim is the run's `status.json`. It appears whole or not at all, for one process alone, and names the process, its
machine and, by its time, when the run was last heard of.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from vistr.config.resuming import SETTINGS
from vistr.errors import UserError, shortened
from vistr.files import working_folder
from vistr.runs.rows import METRICS_FILE
from vistr.runs.run_record import FILE, SILENT_SECONDS, RunRecord, new_record, read_record, write_record
from vistr.runtime import system

MAX_NUMBER = 10_000


def holds_run(folder: Path) -> bool:
    """Whether a run has its files in the folder."""
    return any((folder / name).exists() for name in (FILE, SETTINGS, METRICS_FILE)) or (folder / ".hydra").is_dir()


def new_folder(wanted: Path) -> Path:
    """A folder that nobody else has, made now: `wanted`, or with a number where that is taken."""
    with writing(wanted):
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, MAX_NUMBER):
            folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
    raise UserError(f"{shortened(wanted)} and {MAX_NUMBER:,} folders numbered after it exist: clear them up.")


def named_folder(folder: Path) -> Path:
    """The folder that the user names (hydra.run.dir=), made where it is not there; UserError where it holds a run."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if holds_run(folder):
            raise UserError(_taken(folder))
    return folder


def claim(folder: Path, task: str, overrides: Sequence[str]) -> None:
    """Claim a new folder for this process. Raises UserError if another process was quicker."""
    content = json.dumps(asdict(new_record(task, overrides)), indent=1) + "\n"
    with writing(folder), working_folder(f".{FILE}.", folder) as scratch:
        draft = scratch / FILE
        draft.write_text(content, encoding="utf-8")
        try:
            _link(draft, folder / FILE)
        except FileExistsError as error:
            raise UserError(_taken(folder)) from error


def take_over(folder: Path, task: str, overrides: Sequence[str], *, resume: bool) -> None:
    """Claim the folder of a run to resume it (`resume`), or to start it anew.

    Raises UserError while the run is going on. Of several processes that try at the same moment one succeeds.
    """
    with writing(folder):
        if not (folder / FILE).exists():
            return claim(folder, task, overrides)
        with _locked(folder / FILE):
            before = read_record(folder)
            if before is not None and before.state == "running":
                raise UserError(_running(folder, before))
            seconds = before.seconds if before is not None and resume else 0.0
            write_record(folder, new_record(task, overrides, seconds))
    return None


def require_idle(folder: Path) -> None:
    """UserError where the run of a folder is going on."""
    record = read_record(folder)
    if record is not None and record.state == "running":
        raise UserError(_running(folder, record))


def give_up(folder: Path) -> None:
    """Undo the claim of a run that never began: remove its record, and the folder if it is empty."""
    record = read_record(folder)
    if record is not None and record.state == "running" and record.pid == os.getpid():
        with suppress(OSError):
            (folder / FILE).unlink()
            folder.rmdir()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns an error of the disk into one sentence that names the run's folder."""
    try:
        yield
    except OSError as error:
        where = f"{shortened(_shown(folder))}, the run's folder, cannot be written: {error.strerror}"
        raise UserError(f"{where}; outputs= (or hydra.run.dir=) names another place.") from error


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Holds a lock on the file that stands at this path when the body starts.

    On a disk without locks the body runs without one.
    """
    while True:
        opened = os.open(file, os.O_RDWR)
        try:
            with suppress(OSError):
                system.lock(opened)
            # Whoever had the lock before may have put another file in its place.
            if os.fstat(opened).st_ino == os.stat(file).st_ino:
                yield
                return
        finally:
            os.close(opened)


def _link(draft: Path, file: Path) -> None:
    """Have `file` be there whole, or raise FileExistsError where it is there already."""
    try:
        os.link(draft, file)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as opened:
            opened.write(draft.read_bytes())


def _taken(folder: Path) -> str:
    shown, record = shortened(_shown(folder)), read_record(folder)
    if record is not None and record.state == "running":
        return _running(folder, record)
    if (folder / "checkpoints").is_dir():
        return f"{shown} holds a run: go on with it by resume={shown}, or name another folder."
    return f"{shown} holds a run: name another folder with hydra.run.dir=, or remove that one."


def _running(folder: Path, record: RunRecord) -> str:
    shown, host = shortened(_shown(folder)), shortened(record.host, 40)
    if record.host == socket.gethostname():
        return f"{shown} holds a run that is going on (process {record.pid}): stop it first, or name another folder."
    with suppress(OSError):
        silent = max(0.0, time.time() - (folder / FILE).stat().st_mtime)
        heard = f"process {record.pid} on {host}, heard of {silent:.0f} s ago"
        return (
            f"{shown} holds a run that is going on ({heard}): stop it first; "
            f"one that was killed counts as ended after {SILENT_SECONDS:.0f} s of silence."
        )
    return f"{shown} holds a run that is going on."


def _shown(folder: Path) -> str:
    short = os.path.relpath(folder)
    return short if len(short) < len(str(folder)) else str(folder)
