"""One job of a sweep, run in a process of its own: skipped where it is done, gone on with where it was stopped."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from vistr.config import Config
from vistr.config.compose import to_dict
from vistr.config.overrides import path_override
from vistr.config.resuming import SETTINGS, difference
from vistr.errors import UserError, shortened
from vistr.runs.run_record import RunRecord, State, explain_exit, read_record, write_record
from vistr.runtime.child_process import child_environment
from vistr.sweeps.gpus import own_gpu

log = logging.getLogger(__name__)

# In the environment of a job: its folder is the sweep's to give.
SWEEP_JOB = "VISTR_SWEEP_JOB"
COMMAND = (sys.executable, "-m", "vistr")
# A job whose sweep was killed saves what it has after its present step, or evaluation: wait this long for that.
LEAVE_SECONDS = 900.0


def run_apart(
    folder: Path, config: Config, overrides: Sequence[str], extra: Sequence[str] = (), *, shares_machine: bool = False
) -> RunRecord:
    """The record of a job after it ran, as `python run.py <overrides>` in `folder`; of a finished one, at once.

    A process of its own gives each job its memory, and a job that the system kills takes no other along.
    `extra` are flags and overrides of Hydra's that the job is to have too. Raises KeyboardInterrupt where the sweep is
    told to stop, after the job has saved what it has, and UserError where the folder holds another run than this job.
    `shares_machine`: other jobs run on this machine at the same time, so that each is to have a GPU of its own.
    """
    before = _settled(folder)
    if before is not None and before.state == "running":
        log.info("already running (process %d on %s): %s", before.pid, before.host, folder)
        return before
    if before is not None:
        _require_same(folder, before, config, overrides)
    if before is not None and before.state == "finished":
        log.info("finished before: %s", folder)
        return before
    if before is not None and (folder / "checkpoints" / "last.safetensors").is_file():
        job = [path_override("resume", str(folder))]
    else:
        job = [*overrides, path_override("hydra.run.dir", str(folder))]
    # A GPU that was named is taken.
    chooses = shares_machine and config.device.target != "cpu" and config.device.id == 0
    with own_gpu(chooses) as environment:
        status = _wait_for([*COMMAND, *extra, *job], environment)
    record = read_record(folder)
    if record is None or record == before or status not in (0, 1, 130):
        record = _written_for(record, status, config.task.name, overrides)
        write_record(folder, record)
    if record.state == "failed" and status != 1:
        log.error("%s: %s", folder.name, record.reason)
    return record


def _require_same(folder: Path, before: RunRecord, config: Config, overrides: Sequence[str]) -> None:
    """Where hydra.sweep.dir= is set by hand, the folder may hold something else than this job."""
    other = None if before.overrides == list(overrides) else f"typed: {shortened(' '.join(before.overrides))}"
    if other is None and (folder / SETTINGS).is_file():
        other = difference(folder, to_dict(config))
    if other is not None:
        raise UserError(
            f"{shortened(os.path.relpath(folder))} holds another run than this job ({other}): "
            "name another folder with hydra.sweep.dir=, or remove that one."
        )


def record_mistake(folder: Path, task: str, overrides: Sequence[str], reason: str) -> None:
    """Record a job that cannot even start."""
    now = time.time()
    write_record(folder, RunRecord("failed", task, reason, list(overrides), started=now, ended=now))


def _written_for(left: RunRecord | None, status: int, task: str, overrides: Sequence[str]) -> RunRecord:
    """The record of a job that ended without writing one itself; `left` is what it, or one before, left."""
    state: State = "interrupted" if status in (130, -signal.SIGINT, -signal.SIGTERM) else "failed"
    now = time.time()
    started, seconds = (left.started, left.seconds) if left is not None else (now, 0.0)
    return RunRecord(state, task, explain_exit(status), list(overrides), started=started, ended=now, seconds=seconds)


def _settled(folder: Path) -> RunRecord | None:
    """The record of the folder's earlier run, once a process that is about to leave has left."""
    record = read_record(folder)
    if record is None or record.state != "running":
        return record
    log.info("waiting for process %d on %s, which still works on %s", record.pid, record.host, folder)
    until = time.monotonic() + LEAVE_SECONDS
    while record is not None and record.state == "running" and time.monotonic() < until:
        time.sleep(0.5)
        record = read_record(folder)
    return record


def _wait_for(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit status of a command. A request to stop is passed on to it; KeyboardInterrupt once it has ended."""
    sys.stdout.flush()
    # A session of its own, so that Ctrl-C reaches it once, from here, however the sweep was started.
    job = subprocess.Popen(command, env={**child_environment(), **environment, SWEEP_JOB: "1"}, start_new_session=True)
    with _passed_on(job) as stopped:
        try:
            status = job.wait()
        except BaseException:  # submitit leaves so, to queue the job again: it saves first
            job.terminate()
            job.wait()
            raise
    if stopped:
        raise KeyboardInterrupt
    return status


@contextmanager
def _passed_on(job: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Passes requests to stop on to a job; the list holds those that came.

    A launcher that takes signals in a way of its own (submitit: save and queue again) keeps it.
    """
    stopped: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        job.send_signal(number)

    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    ours = {number: handler for number, handler in before.items() if handler in usual}
    for number in ours:
        signal.signal(number, note)
    try:
        yield stopped
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
