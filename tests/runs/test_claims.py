"""A run's folder is one run's: made by it alone, refused to others, gone on with by one process at a time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vistr.errors import UserError
from vistr.files import ROOT
from vistr.runs.claims import claim, give_up, holds_run, named_folder, new_folder, require_idle, take_over
from vistr.runs.run_record import FILE, RunRecord, read_record, recording, write_record

# Tries when it is told to, says what came of it, and lives until its input ends.
RACE = """
import sys
from pathlib import Path
from vistr.errors import UserError
from vistr.runs import claims
what, folder = sys.argv[1], Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
try:
    if what == "new":
        folder = claims.new_folder(folder)
    elif what == "named":
        claims.claim(claims.named_folder(folder), "train", [])
    else:
        claims.take_over(folder, "train", [], resume=True)
    print("won", folder.name, flush=True)
except UserError as error:
    print(error, flush=True)
sys.stdin.readline()
"""


def race(what: str, folder: Path, number: int = 4) -> list[str]:
    """What processes say that all want a folder at the same moment."""
    command = [sys.executable, "-c", RACE, what, str(folder)]
    pipe = subprocess.PIPE
    runs = [subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(number)]
    said = []
    for word in ("ready", "go"):
        said = [run.stdout.readline().strip() for run in runs if run.stdout]
        for run in runs:
            assert run.stdin is not None
            run.stdin.write(f"{word}\n")
            run.stdin.flush()
    for run in runs:
        run.communicate(timeout=60)
    return sorted(said)


def test_folders_of_one_name_get_numbers(tmp_path: Path) -> None:
    wanted = tmp_path / "outputs" / "2026-01-01_00-00-00_v"
    names = [new_folder(wanted).name for _ in range(3)]
    assert names == ["2026-01-01_00-00-00_v", "2026-01-01_00-00-00_v_2", "2026-01-01_00-00-00_v_3"]


def test_runs_that_start_at_the_same_moment_have_a_folder_each(tmp_path: Path) -> None:
    assert race("new", tmp_path / "r") == ["won r", "won r_2", "won r_3", "won r_4"]


@pytest.mark.parametrize("what", ["named", "resume"])
def test_of_processes_that_want_one_folder_at_the_same_moment_one_wins(what: str, tmp_path: Path) -> None:
    if what == "resume":
        write_record(tmp_path, RunRecord("interrupted", seconds=3.0))
    said = race(what, tmp_path)
    assert [one.startswith("won") for one in said].count(True) == 1
    assert sum("holds a run that is going on" in one for one in said) == 3


def test_a_folder_that_holds_a_run_is_refused_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = named_folder(Path("exp1"))
    claim(folder, "train", ["seed=1"])
    with pytest.raises(UserError, match=r"^exp1 holds a run that is going on \(process \d+\): stop it first"):
        named_folder(folder)
    with recording(folder, "train", []):
        pass
    with pytest.raises(UserError, match=r"^exp1 holds a run: name another folder with hydra\.run\.dir="):
        named_folder(folder)
    (folder / "checkpoints").mkdir()
    with pytest.raises(UserError, match=r"^exp1 holds a run: go on with it by resume=exp1, or name another folder"):
        named_folder(folder)


@pytest.mark.parametrize("left", [FILE, "settings.yaml", "metrics.jsonl", ".hydra"])
def test_any_file_of_a_run_makes_a_folder_one_that_holds_a_run(left: str, tmp_path: Path) -> None:
    assert not holds_run(tmp_path)
    (tmp_path / "my notes.txt").touch()
    (tmp_path / "checkpoints").mkdir()
    assert not holds_run(tmp_path)
    (tmp_path / left).mkdir()
    assert holds_run(tmp_path)


def test_a_run_is_gone_on_with_when_it_has_ended_and_its_time_adds_up(tmp_path: Path) -> None:
    write_record(tmp_path, RunRecord("interrupted", seconds=100.0))
    require_idle(tmp_path)
    take_over(tmp_path, "train", ["resume=x", "seed=2"], resume=True)
    record = read_record(tmp_path)
    assert record is not None
    assert (record.state, record.pid, record.overrides) == ("running", os.getpid(), ["seed=2"])
    with recording(tmp_path, "train", []):
        pass
    ended = read_record(tmp_path)
    assert ended is not None
    assert (ended.state, ended.overrides) == ("finished", ["seed=2"])
    assert 100.0 <= ended.seconds < 160.0


def test_a_run_on_another_machine_is_left_alone_until_it_has_been_silent(tmp_path: Path) -> None:
    write_record(tmp_path, RunRecord("running", started=time.time(), host="elsewhere", pid=7))
    for refuse in (lambda: require_idle(tmp_path), lambda: take_over(tmp_path, "train", [], resume=True)):
        with pytest.raises(UserError, match=r"process 7 on elsewhere, heard of \d+ s ago.*180 s of silence"):
            refuse()
    os.utime(tmp_path / FILE, (time.time() - 600, time.time() - 600))
    take_over(tmp_path, "train", [], resume=True)


def test_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    write_record(tmp_path, RunRecord("running", host=socket.gethostname(), pid=os.getpid(), process_start=1))
    take_over(tmp_path, "train", [], resume=True)


def test_an_older_run_without_a_record_is_taken_over(tmp_path: Path) -> None:
    take_over(tmp_path, "train", [], resume=True)
    assert read_record(tmp_path) is not None


def test_a_claim_whose_run_never_began_leaves_nothing(tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "r")
    claim(folder, "train", [])
    give_up(folder)
    assert not folder.exists()
    folder = new_folder(tmp_path / "r")
    claim(folder, "train", [])
    with recording(folder, "train", []):
        pass
    give_up(folder)
    assert holds_run(folder)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for make in (new_folder, named_folder):
        for place in ("file/run", "file/a/run", "x" * 300):
            with pytest.raises(UserError, match="cannot be written"):
                make(tmp_path / place)
    with pytest.raises(UserError, match="cannot be written"):
        named_folder(tmp_path / "file")
