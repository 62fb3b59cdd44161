"""Files are there whole or not at all, and what a killed process leaves goes with the next one that works there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vistr import files
from vistr.files import replacing, working_folder

KILLED = """
import os, sys
from pathlib import Path
from vistr.files import replacing
with replacing(Path(sys.argv[1])) as draft:
    draft.write_text("half")
    draft.with_name("beside").write_text("what a library makes on its way")
    os.kill(os.getpid(), 9)
"""


def killed_while_writing(path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=os.environ | {"PYTHONPATH": str(files.ROOT)})
    assert ended.returncode == -9
    assert len(list(path.parent.glob(".*"))) == 1


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("before")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass  # nothing was written
    assert path.read_text() == "before"
    with replacing(path) as draft:
        draft.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert os.listdir(tmp_path) == ["one.txt"]


def test_what_is_written_is_synced_before_it_takes_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, calls = tmp_path / "one.txt", []
    good = os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), good(*paths)))
    with replacing(path) as draft:
        draft.write_text("x")
    assert calls == [str(draft), "replace", str(tmp_path)]


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "last [1].txt"
    killed_while_writing(path)
    with replacing(path) as draft:
        draft.write_text("whole")
    assert os.listdir(tmp_path) == [path.name]


def test_what_a_process_is_at_work_on_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with working_folder("part-", tmp_path) as ours:
        (ours / "x").touch()
        with working_folder("part-", tmp_path):
            assert (ours / "x").exists()
        # Another machine's may be alive too: nobody here can know.
        other = tmp_path / "part-a.process-999999-elsewhere"
        other.mkdir()
        with working_folder("part-", tmp_path):
            assert other.exists()
    assert os.listdir(tmp_path) == [other.name]


def test_a_number_that_another_process_has_by_now_protects_nothing(tmp_path: Path) -> None:
    with working_folder("part-", tmp_path) as made:
        abandoned = made.with_name("part-old" + made.name[made.name.index(".process-") :])
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))  # before this process began
    with working_folder("part-", tmp_path):
        assert not abandoned.exists()
