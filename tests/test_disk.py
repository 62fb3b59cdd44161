"""A disk that is full ends a run with one sentence, and the run goes on from its last checkpoint when there is room."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import SMALL
from vistr.disk import TROUBLE, LogFile, explain_full_disk
from vistr.errors import UserError
from vistr.files import ROOT
from vistr.runs.run_record import new_record, read_record, recording, write_record


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128m", "none", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk of its own can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room that is left."""
    path = disk / "filler"
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return path


@pytest.mark.parametrize("number", TROUBLE)
def test_the_disks_errors_are_a_sentence_with_the_file_and_what_to_do(tmp_path: Path, number: int) -> None:
    with pytest.raises(UserError) as error, explain_full_disk(tmp_path):
        raise OSError(number, os.strerror(number), "/outputs/.results.json.abc.process-12-host/results.json")
    said = str(error.value)
    assert said.startswith(f"/outputs/results.json cannot be written: {os.strerror(number)}; ")
    assert said.endswith("then start again.")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.safetensors").touch()
    with pytest.raises(UserError, match=f"resume={tmp_path}"), explain_full_disk(tmp_path):
        raise OSError(number, os.strerror(number))


def test_other_errors_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), explain_full_disk(tmp_path):
        (tmp_path / "missing").read_bytes()


def test_a_log_that_cannot_be_written_ends_the_run_once(capsys: pytest.CaptureFixture[str]) -> None:
    logger, handler = logging.Logger("full"), LogFile("/dev/full")
    logger.addHandler(handler)
    with pytest.raises(OSError) as error:  # noqa: PT011
        logger.info("first")
    assert error.value.errno == errno.ENOSPC
    logger.error("what went wrong")
    assert capsys.readouterr().err == ""


def test_the_record_says_why_though_there_is_no_room_for_another_file(small_disk: Path) -> None:
    write_record(small_disk, new_record("train", []))

    def fail() -> None:
        fill(small_disk)
        raise UserError("no room")

    with pytest.raises(UserError), recording(small_disk, "train", []):
        fail()
    record = read_record(small_disk)
    assert record is not None
    assert (record.state, record.reason) == ("failed", "no room")


@pytest.mark.slow
def test_a_training_whose_disk_fills_up_goes_on_where_there_is_room(small_disk: Path) -> None:
    run = small_disk / "run"
    command = [
        sys.executable,
        "run.py",
        *SMALL,
        "transformer.hidden_dim=96",
        "training.epochs=3",
        "schedule.drop_epoch=null",
        "device=cpu",
    ]
    command += [f"outputs={small_disk}", f"hydra.run.dir={run}", "task.save_minutes=0", "task.num_pictures=1"]
    training = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while training.poll() is None and not (run / "checkpoints/last.safetensors").exists():
        time.sleep(0.02)
    filler = fill(small_disk)
    _, said = training.communicate(timeout=300)
    assert training.returncode == 1
    assert "cannot be written: No space left on device" in said
    assert said.count("\n") == 1
    filler.unlink()
    gone_on = subprocess.run([sys.executable, "run.py", f"resume={run}"], cwd=ROOT, capture_output=True, text=True)
    assert gone_on.returncode == 0, gone_on.stderr
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if row["kind"] == "train"]
    assert steps == list(range(1, steps[-1] + 1))
