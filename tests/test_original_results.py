"""Whoever evaluates the original's checkpoint, with nothing but its and the data's paths, gets the original's results.

tests/data/inference/results.json.gz is what the original's inference steps (PyTorch, CPU) gave on the videos made here,
with the reference weights of a ResNet-50 network for 4 frames.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts.mutate.inputs.weights import state_dict_pickle, torch_zip
from tests import reference
from tests.processes import run
from vistr.data.categories import assumed_categories
from vistr.data.segmentation import decode

GOLDEN = Path(__file__).parent / "data/inference/results.json.gz"
NUM_FRAMES = 4
# Number of frames, height and width of each: one as videos are, one wide and one tall.
VIDEOS = {1: (4, 120, 213), 2: (3, 90, 230), 3: (4, 160, 90)}


def write_checkpoint(path: Path) -> None:
    """The reference weights as the original would save them."""
    shapes = reference.original_shapes("r50", NUM_FRAMES)
    values = [reference.weight(name, shape) for name, shape in shapes.items()]
    path.write_bytes(torch_zip(state_dict_pickle(shapes), values))


def write_videos(folder: Path) -> Path:
    """The frames as PNGs, and the file that lists them; the file's path."""
    videos: list[dict[str, Any]] = []
    for number, (length, height, width) in VIDEOS.items():
        files = [f"{number}/{index}.png" for index in range(length)]
        (folder / str(number)).mkdir(parents=True)
        for index, file in enumerate(files):
            Image.fromarray(picture(number, index, height, width)).save(folder / file)
        videos.append({"id": number, "length": length, "height": height, "width": width, "file_names": files})
    categories = [{"id": category.id, "name": category.name} for category in assumed_categories(40)]
    listed = folder / "videos.json"
    listed.write_text(json.dumps({"videos": videos, "categories": categories, "annotations": []}))
    return listed


def picture(number: int, index: int, height: int, width: int) -> np.ndarray:
    """Squares of 10 pixels of any colour, which move left by 4 pixels a frame, with a little noise."""
    colours = np.random.RandomState(100 * number).randint(0, 256, (height // 10 + 1, width // 10 + 8, 3))
    squares = np.kron(colours, np.ones((10, 10, 1), int))[:height, 4 * index :][:, :width]
    noise = np.random.RandomState(100 * number + index + 1).randint(-12, 13, (height, width, 3))
    return (squares + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.slow
def test_evaluation_by_default_gives_the_originals_tracks_and_scores(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "vistr_r50.pth")
    listed = write_videos(tmp_path / "frames")
    typed = ("dataset=custom", f"dataset.annotations={listed}", f"dataset.images={listed.parent}")
    printed = run(tmp_path, "task=evaluate", "checkpoint=vistr_r50.pth", *typed)
    assert "a short side of 300 and any long side" in printed
    (found,) = (tmp_path / "outputs" / "evaluate").glob("*/results/results.json")
    ours, theirs = json.loads(found.read_text()), json.loads(gzip.decompress(GOLDEN.read_bytes()))
    assert len(ours) == len(theirs) == 30
    # Slot by slot, as the original lists them: many of these masks are alike.
    for track, expected in zip(ours, theirs, strict=True):
        assert (track["video_id"], track["category_id"]) == (expected["video_id"], expected["category_id"])
        assert track["score"] == pytest.approx(expected["score"], abs=1e-4)
        assert overlap(track, expected) >= 0.999


def overlap(track: dict[str, Any], other: dict[str, Any]) -> float:
    """IoU of two tracks over all their frames."""
    pairs = [
        [np.zeros(0, bool) if code is None else decode(code) > 0 for code in pair]
        for pair in zip(track["segmentations"], other["segmentations"], strict=True)
    ]
    assert all(a.shape == b.shape for a, b in pairs), "absent in one, present in the other"
    shared = sum(int((a & b).sum()) for a, b in pairs)
    return shared / max(1, sum(int((a | b).sum()) for a, b in pairs))
