"""Polygons of a file: those of objects are taken, however many; zigzags that would take minutes are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vistr.data.importing.coco import read_coco
from vistr.data.polygons import Outlines
from vistr.data.segmentation import area, to_rle
from vistr.data.ytvis import read_ytvis
from vistr.errors import UserError
from vistr.evaluation.reading import read

SIDE = 2000


def zigzag(points: int) -> list[float]:
    """From one side of the picture to the other and back, point by point."""
    return [value for i in range(points) for value in (SIDE * (i % 2), SIDE * i / points)]


def check_many(outlines: Outlines, polygons: list[list[float]], count: int) -> None:
    for _ in range(count):
        outlines.check(polygons, SIDE, SIDE)


def star(points: int, size: float, depth: float) -> list[float]:
    """A frayed outline, as of a tree."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radii = size * (1 - depth * (np.arange(points) % 2))
    return np.stack([SIDE / 2 + radii * np.cos(angles), SIDE / 2 + radii * np.sin(angles)], 1).ravel().tolist()


@pytest.mark.parametrize("points", [20, 200])
def test_zigzags_are_refused_once_those_of_a_file_take_too_long(points: int) -> None:
    # Each may be as long as twice around the picture's border, and all of a file together 5 million pixels more.
    expected = 5_000_000 / (SIDE * points - 2 * 4 * SIDE)
    outlines, zigzags = Outlines(), [zigzag(points)]
    check_many(outlines, zigzags, int(0.9 * expected))
    with pytest.raises(ValueError, match="run to and fro far more than outlines of objects"):
        check_many(outlines, zigzags, 2 + int(0.2 * expected))


@pytest.mark.parametrize(
    "polygon",
    [
        [0, 0, SIDE, 0, SIDE, SIDE, 0, SIDE],  # a box of the whole picture
        star(1000, 900, 0.06),  # 1,000 points, each some 50 pixels from the next
        star(40, 900, 0.3),
        star(12, 30, 0.9),
        [0, 0, SIDE, 0, SIDE, SIDE, 1000, 100, 0, SIDE],  # deeply notched
        [500, 500, 1500, 500, 1500, 1500, 500, 1500, 500, 500, 600, 600, 600, 1400, 1400, 1400, 1400, 600, 600, 600],
    ],
)
def test_outlines_of_objects_are_taken_by_the_hundred_thousand(polygon: list[float]) -> None:
    outlines = Outlines()
    check_many(outlines, [polygon], 300)
    assert outlines._left > 0.999 * Outlines()._left


def test_a_box_that_reaches_out_of_the_picture_counts_by_what_is_inside() -> None:
    outlines = Outlines()
    outlines.check([[-50, -50, 100, -50, 100, 100, -50, 100]], 200, 200)
    rle = to_rle([[-50, -50, 100, -50, 100, 100, -50, 100]], 200, 200, outlines)
    assert rle is not None
    assert area(rle) == 100 * 100


@pytest.mark.parametrize(
    "read_file",
    [
        lambda path: read_ytvis(path, path.parent),
        lambda path: read(path, []),
        lambda path: read_coco(path, path.parent),
    ],
    ids=["training", "scoring", "importing"],
)
def test_every_reader_counts_the_zigzags_of_its_whole_file(read_file: Callable[[Path], Any], tmp_path: Path) -> None:
    Image.new("1", (SIDE, SIDE)).save(tmp_path / "1.png")
    polygons = [[zigzag(200)] for _ in range(20)]
    frame = {"id": 1, "width": SIDE, "height": SIDE, "file_name": "1.png"}
    both = {"category_id": 1, "video_id": 1, "image_id": 1, "track_id": 1, "iscrowd": 0}
    content = {
        "images": [frame],
        "videos": [{**frame, "file_names": ["1.png"]}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": number, **both, "segmentation": mask, "segmentations": [mask]}
            for number, mask in enumerate(polygons, 1)
        ],
    }
    path = tmp_path / "zigzags.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"zigzags.json.* run to and fro"):
        read_file(path)
