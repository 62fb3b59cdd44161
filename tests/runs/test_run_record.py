"""What became of a run: written by the run itself, and seen through where it could not write."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vistr.errors import UserError
from vistr.runs.run_record import FILE, RunRecord, explain_exit, read_record, recording, write_record
from vistr.runtime.parallel import HUB


def state(folder: Path) -> str:
    found = read_record(folder)
    assert found is not None
    return found.state


def test_a_run_is_running_and_then_finished_with_its_figures(tmp_path: Path) -> None:
    with recording(tmp_path, "train", ["seed=1", "resume=/x"]) as figures:
        assert state(tmp_path) == "running"
        figures |= {"AP": 0.5, "AR1": float("nan")}
    found = read_record(tmp_path)
    assert found is not None
    assert (found.state, found.figures, found.overrides) == ("finished", {"AP": 0.5}, ["seed=1"])
    assert found.ended is not None
    assert found.seconds == pytest.approx(found.ended - found.started)


@pytest.mark.parametrize(
    ("error", "expected", "reason"),
    [
        (UserError("x.json has no videos"), "failed", "x.json has no videos"),
        (ValueError("first line\nsecond"), "failed", "ValueError: first line"),
        (RuntimeError("Allocate memory failed"), "failed", "out of memory (RuntimeError: Allocate memory failed)"),
        (MemoryError(), "failed", "out of memory (MemoryError)"),
        (KeyboardInterrupt(), "interrupted", "stopped by a signal"),
    ],
)
def test_what_ends_a_run_is_its_reason_and_goes_on_its_way(
    error: BaseException, expected: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(type(error)), recording(tmp_path, "train", []):
        raise error
    found = read_record(tmp_path)
    assert found is not None
    assert (found.state, found.reason) == (expected, reason)


def test_a_killed_run_is_seen_as_interrupted(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from vistr.runs.run_record import recording\n"
        "with recording(Path(sys.argv[1]), 'train', ['seed=1']): os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root)
    assert ended.returncode == -9
    assert json.loads((tmp_path / FILE).read_text())["state"] == "running"
    found = read_record(tmp_path)
    assert found is not None
    assert (found.state, found.overrides) == ("interrupted", ["seed=1"])


def test_a_later_process_of_the_same_number_is_not_the_run(tmp_path: Path) -> None:
    write_record(tmp_path, RunRecord("running", host=socket.gethostname(), pid=os.getpid(), process_start=1))
    assert state(tmp_path) == "interrupted"


def test_a_run_on_another_machine_goes_on_while_its_file_is_fresh(tmp_path: Path) -> None:
    write_record(tmp_path, RunRecord("running", started=time.time(), host="elsewhere", pid=1))
    assert state(tmp_path) == "running"
    os.utime(tmp_path / FILE, (time.time() - 3600, time.time() - 3600))
    assert state(tmp_path) == "interrupted"


def test_the_first_rank_alone_writes_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK_ID", "1"), ("MS_WORKER_NUM", "2"), (HUB, "127.0.0.1:1")):
        monkeypatch.setenv(name, value)
    with recording(tmp_path, "train", []):
        pass
    assert read_record(tmp_path) is None


def test_a_cluster_that_sets_rank_id_for_everyone_does_not_silence_a_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK_ID", "1")
    with recording(tmp_path, "train", []):
        pass
    assert state(tmp_path) == "finished"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"reason": 3}'])
def test_a_record_that_cannot_be_read_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    assert read_record(tmp_path) is None


def test_an_exit_status_is_explained() -> None:
    assert "memory" in explain_exit(-9)
    assert explain_exit(-11) == "ended by signal 11"
