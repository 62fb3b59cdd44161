"""A downloaded dataset: what is there, what is missing, and the part of it that can be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vistr.data.layouts import find_layout
from vistr.data.ytvis import read_ytvis
from vistr.data.ytvis_check import check_split, describe, sub_file, write_sub
from vistr.errors import UserError
from vistr.files import ROOT


@pytest.fixture
def dataset(tiny: Callable[..., Any]) -> Any:
    """Three videos as YouTube-VIS 2019 comes, its annotations written."""
    made = tiny(3, 2, 2)
    made.read()
    return made


def said(dataset: Any, split: Any = "train") -> str:
    return "\n".join(describe(check_split("ytvis2019", dataset.annotation_file.parent, split)))


def test_a_complete_split_says_so(dataset: Any) -> None:
    assert "train: 3 videos, 7 frames, 3 objects" in said(dataset)
    assert "complete" in said(dataset)
    assert said(dataset, "valid").startswith("valid: not there.")
    assert "valid.json" in said(dataset, "valid")


def test_missing_and_misshapen_frames_are_named_and_left_out_of_the_sub_file(dataset: Any) -> None:
    root = dataset.annotation_file.parent
    dataset.image("video0/00001.jpg").unlink()
    Image.new("RGB", (8, 8)).save(dataset.image("video2/00000.jpg"))
    text = said(dataset)
    assert "1 frames of 1 videos, such as video0/00001.jpg" in text
    assert "video 102: 00000.jpg has 8x8 pixels, not 64x48" in text
    assert "complete" not in text
    state = check_split("ytvis2019", root, "train")
    written = write_sub(state, root)
    assert written == sub_file(root, "train") == root / "annotations/instances_train_sub.json"
    usable = read_ytvis(written, dataset.image_folder)
    assert [video.id for video in usable.videos] == [101]
    assert len(usable.videos[0].annotations) == 1
    assert write_sub(state, root) is None  # what is there is left alone
    assert sub_file(root, "valid").name == "instances_val_sub.json"


def test_a_split_without_truth_keeps_its_videos(dataset: Any) -> None:
    root = dataset.annotation_file.parent
    del dataset.content["annotations"]
    dataset.read()
    assert "no truth" in said(dataset)
    written = write_sub(check_split("ytvis2019", root, "train"), root)
    assert written is not None
    assert len(json.loads(written.read_text())["videos"]) == 3


def test_nothing_usable_is_a_sentence(dataset: Any) -> None:
    for name in ("video0/00000.jpg", "video1/00000.jpg", "video2/00000.jpg"):
        dataset.image(name).write_text("no picture")
    with pytest.raises(UserError, match="no video has all its frames"):
        write_sub(check_split("ytvis2019", dataset.annotation_file.parent, "train"), dataset.annotation_file.parent)


def test_the_script_prints_writes_and_tells_by_its_status(dataset: Any) -> None:
    root = dataset.annotation_file.parent
    command = [sys.executable, str(ROOT / "scripts/prepare_ytvis.py"), str(root), "--write"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"written      {root}/annotations/instances_train_sub.json" in done.stdout
    assert find_layout("ytvis2019", Path(root), "train")[0] == dataset.annotation_file
    dataset.image("video0/00001.jpg").unlink()
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 1
