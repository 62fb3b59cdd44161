"""Packed copies of annotation files: what they hold, when they are used, and when they are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.annotation_files import RELEASES, write
from vistr.data import annotation_cache, ytvis
from vistr.data.videos import VideoSet
from vistr.data.ytvis import read_ytvis
from vistr.errors import UserError
from vistr.files import ROOT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies of even the smallest and newest files are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(annotation_cache, "MIN_BYTES", 0)
    monkeypatch.setattr(annotation_cache, "SETTLED_SECONDS", -1e9)
    return tmp_path / "cache" / "vistr" / "annotations"


@pytest.fixture(params=["youtube_vis", "ovis"])
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A few videos of a release, with an absent mask, a missing area and a crowd."""
    path = tmp_path / "train.json"
    write(RELEASES[request.param], path, share=0.002)
    content = json.loads(path.read_text())
    content["annotations"][0]["areas"][1] = None
    content["annotations"][0]["segmentations"][2] = None
    content["annotations"][1]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    return path


def read(source: Path) -> VideoSet:
    return read_ytvis(source, source.parent)


def reads_json(source: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether reading the file once more reads its JSON; it must give the same as without any copy."""
    seen: list[Path] = []
    original = ytvis._read_json
    with monkeypatch.context() as patch:
        patch.setattr(ytvis, "_read_json", lambda path: (seen.append(path), original(path))[1])
        found = read(source)
        patch.setenv("XDG_CACHE_HOME", "/dev/null")
        assert read(source) == found
    return len(seen) == 2


def test_a_file_is_read_once_and_its_copy_holds_the_same(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(source)
    (copy,) = folder.iterdir()
    assert copy.stat().st_size > 1000
    assert not reads_json(source, monkeypatch)
    annotation = first.videos[0].annotations[0]
    assert annotation.areas[1] is None
    assert annotation.segmentations[2] is annotation.boxes[2] is None
    assert [len(video.annotations) for video in first.videos] == [
        len(video.annotations) for video in read(source).videos
    ]
    assert sum(a.iscrowd for video in first.videos for a in video.annotations) == 1


def test_a_warning_is_given_by_the_copy_too(source: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = json.loads(source.read_text())
    for number, annotation in enumerate(content["annotations"]):
        annotation["bboxes"] = [box and [1 + number, 2, 3 + number, 4] for box in annotation["bboxes"]]
    source.write_text(json.dumps(content))
    for _ in range(2):
        caplog.clear()
        read(source)
        assert "boxes do not fit their masks" in caplog.text
    assert folder.exists()


def test_a_file_that_changed_is_read_anew(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(source)
    text = source.read_text()
    source.write_text(text.replace("category 0", "category x"))
    os.utime(source, ns=(0, 0))
    assert reads_json(source, monkeypatch)
    assert read(source).categories[0].name == "category x"
    source.write_text(text + " ")
    os.utime(source, ns=(0, 0))
    assert reads_json(source, monkeypatch)
    assert len(list(folder.iterdir())) == 1


def test_a_file_written_this_moment_gets_no_copy_and_a_small_one_neither(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotation_cache, "SETTLED_SECONDS", 2.0)
    os.utime(source)
    assert reads_json(source, monkeypatch)
    os.utime(source, (time.time() - 10, time.time() - 10))
    monkeypatch.setattr(annotation_cache, "MIN_BYTES", source.stat().st_size + 1)
    assert reads_json(source, monkeypatch)
    assert not folder.exists()


@pytest.mark.parametrize("place", [0.0, 0.0005, 0.005, 0.3, 0.6, 0.999])
def test_a_damaged_copy_is_not_trusted(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, place: float
) -> None:
    read(source)
    (copy,) = folder.iterdir()
    content = copy.read_bytes()
    at = int(len(content) * place)
    copy.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
    assert reads_json(source, monkeypatch)
    assert not reads_json(source, monkeypatch)
    copy.write_bytes(content[:at])
    assert reads_json(source, monkeypatch)


@pytest.mark.parametrize("content", [b"", b"vistr annotations 9\n" + bytes(100), annotation_cache.MAGIC + bytes(12)])
def test_another_file_in_its_place_is_not_trusted(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    read(source)
    (copy,) = folder.iterdir()
    copy.write_bytes(content)
    assert reads_json(source, monkeypatch)


def test_the_copy_of_another_file_or_of_another_user_is_not_trusted(
    source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(source.read_bytes().replace(b"category 0", b"category x"))
    read(source)
    (copy,) = folder.iterdir()
    kept = copy.read_bytes()
    read(other)
    (theirs,) = set(folder.iterdir()) - {copy}
    theirs.write_bytes(kept)
    assert read(other).categories[0].name == "category x"
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert reads_json(source, monkeypatch)


def test_a_copy_replaced_or_removed_meanwhile_goes_on_being_read(source: Path, folder: Path) -> None:
    read(source)
    loaded = read(source)
    (copy,) = folder.iterdir()
    copy.rename(copy.with_name("elsewhere"))
    copy.with_name("elsewhere").unlink()
    assert loaded == read(source)


def test_without_room_for_a_copy_the_file_is_read_all_the_same(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (tmp_path / "cache").write_text("")
    assert reads_json(source, monkeypatch)
    (tmp_path / "cache").unlink()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(annotation_cache.AnnotationCache, "_write", fail)
    assert reads_json(source, monkeypatch)
    assert list(folder.iterdir()) == []


def test_copies_that_nobody_opens_are_dropped(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    days = {"used.packed": 50, "old.packed": 61}
    for name, age in days.items():
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age * 86400,) * 2)
    read(source)
    assert {path.name for path in folder.iterdir()} & set(days) == {"used.packed"}
    (copy,) = (path for path in folder.iterdir() if path.name not in days)
    os.utime(copy, (0, 0))
    read(source)
    assert time.time() - copy.stat().st_mtime < 600


def test_a_wrong_file_leaves_no_copy(source: Path, folder: Path) -> None:
    content = json.loads(source.read_text())
    content["annotations"][-1]["bboxes"][0] = [1, 2]
    source.write_text(json.dumps(content))
    for _ in range(2):
        with pytest.raises(UserError, match=r"frame 0: a box is"):
            read(source)
    assert not folder.exists()


@pytest.mark.parametrize(("name", "share"), [("youtube_vis", 0.06), ("ovis", 0.04)])
def test_what_stays_in_memory_is_a_small_part_of_the_file(tmp_path: Path, name: str, share: float) -> None:
    write(RELEASES[name], tmp_path / "train.json", share)
    os.utime(tmp_path / "train.json", (0, 0))
    script = (
        "import re, sys; from pathlib import Path; from vistr.data.ytvis import read_ytvis\n"
        "def held(): return 1024 * int(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "before = held(); videos = read_ytvis(Path(sys.argv[1]), Path()); print(held() - before)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    for _ in ("reading", "loading"):
        command = [sys.executable, "-c", script, str(tmp_path / "train.json")]
        grown = int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
        # Python's lists of the run lengths alone were seven times the file.
        assert grown < (tmp_path / "train.json").stat().st_size
