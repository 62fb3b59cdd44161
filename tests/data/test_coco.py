"""COCO files: every kind of mask, categories by a table, and one sentence for what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from tests.annotation_files import write_coco
from vistr.config.compose import load_config
from vistr.config.open_videos import open_split
from vistr.data import annotation_cache, coco
from vistr.data.category_tables import read_table
from vistr.data.coco import read_coco
from vistr.data.segmentation import decode
from vistr.errors import UserError

HEIGHT, WIDTH = 30, 40
SQUARE = [[4.5, 5.0, 20.25, 5.0, 20.25, 19.3, 4.5, 19.3]]
TABLE = "categories: [Person, Cat]\nnames:\n  person: Person\n"


def mask_of(polygons: list[list[float]]) -> np.ndarray:
    return decode(coco_mask.merge(coco_mask.frPyObjects(polygons, HEIGHT, WIDTH)))


def codes_of(mask: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """A mask as compressed and as uncompressed RLE."""
    packed = coco_mask.encode(np.asfortranarray(mask))
    flat = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.reshape(-1), [0]])))
    runs = np.diff(np.concatenate([[0], flat, [mask.size]])).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()}, {"size": [HEIGHT, WIDTH], "counts": runs}


@pytest.fixture
def content() -> dict[str, Any]:
    """Two pictures: a person in the first; a person, a cup and a crowd in the second; a third shows a cup alone."""
    annotation = {"image_id": 1, "category_id": 1, "iscrowd": 0, "area": 220.5, "bbox": [4.5, 5, 15.75, 14.3]}
    second = {**annotation, "image_id": 2}
    return {
        "images": [
            {"id": number, "file_name": f"{number:04d}.jpg", "height": HEIGHT, "width": WIDTH} for number in (1, 2, 3)
        ],
        "categories": [{"id": 47, "name": "cup"}, {"id": 1, "name": "person"}],
        "annotations": [
            {**annotation, "id": 10, "segmentation": SQUARE},
            {**second, "id": 11, "segmentation": [*SQUARE, [25.0, 20.0, 35.0, 20.0, 30.0, 28.0]]},
            {**second, "id": 12, "segmentation": SQUARE, "category_id": 47},
            {**second, "id": 13, "segmentation": codes_of(mask_of(SQUARE))[1], "iscrowd": 1},
            {**second, "id": 14, "segmentation": SQUARE, "category_id": 47, "image_id": 3},
        ],
    }


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Any]:
    def reads(content: Any, table: str | None = None, **options: bool) -> Any:
        path = tmp_path / "instances.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        if table is not None:
            (tmp_path / "table.yaml").write_text(table)
        return read_coco(path, tmp_path, None if table is None else read_table(str(tmp_path / "table.yaml")), **options)

    return reads


def test_pictures_are_videos_of_one_frame_with_their_objects(read: Any, content: dict[str, Any]) -> None:
    found = read(content)
    assert [(c.id, c.name) for c in found.categories] == [(1, "person"), (47, "cup")]
    assert [(v.id, v.height, v.width, v.file_names) for v in found.videos] == [
        (number, HEIGHT, WIDTH, (f"{number:04d}.jpg",)) for number in (1, 2, 3)
    ]
    assert [[a.id for a in v.annotations] for v in found.videos] == [[10], [11, 12, 13], [14]]
    (one,) = found.videos[0].annotations
    assert (one.category_id, one.iscrowd, list(one.areas)) == (1, False, [220.5])
    np.testing.assert_allclose(one.boxes[0], (4.5, 5, 15.75, 14.3))
    assert [a.iscrowd for a in found.videos[1].annotations] == [False, False, True]


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": "), None])
def test_polygons_are_filled_as_pycocotools_does(read: Any, content: dict[str, Any], spaces: Any) -> None:
    rng = np.random.default_rng(0)
    polygons = [
        [rng.uniform(-3, 33, 2 * rng.integers(3, 9)).round(digits).tolist()] for digits in [2] * 40 + [1, 0, 9] * 9
    ]
    polygons.append([*polygons[0], *polygons[1], *polygons[2]])
    content["annotations"] = [
        {"id": number, "image_id": 1, "category_id": 1, "segmentation": one} for number, one in enumerate(polygons)
    ]
    text = json.dumps(content, indent=2) if spaces is None else json.dumps(content, separators=spaces)
    annotations = read(text).videos[0].annotations
    assert len(annotations) > 60
    for one in annotations:
        np.testing.assert_array_equal(decode(one.segmentations[0]), mask_of(polygons[one.id]))


@pytest.mark.parametrize("kind", [0, 1])
def test_run_lengths_are_read_compressed_or_not(read: Any, content: dict[str, Any], kind: int) -> None:
    mask = mask_of(SQUARE)
    content["annotations"] = [{**content["annotations"][0], "segmentation": codes_of(mask)[kind]}]
    (one,) = read(content).videos[0].annotations
    np.testing.assert_array_equal(decode(one.segmentations[0]), mask)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert one.boxes[0] == (columns[0], rows[0], len(columns), len(rows))


def test_a_table_names_what_objects_are_taken_for_and_the_others_are_ignored(
    read: Any, content: dict[str, Any]
) -> None:
    found = read(content, TABLE)
    assert found.names == ["Person", "Cat"]
    assert [v.id for v in found.videos] == [1, 2]
    assert [[(a.id, a.category_id) for a in v.annotations] for v in found.videos] == [[(10, 1)], [(11, 1), (13, 1)]]
    assert [[a.id for a in v.ignored] for v in found.videos] == [[], [12]]
    assert [v.id for v in read(content, TABLE, without_objects=True).videos] == [1, 2, 3]
    content["annotations"][2]["iscrowd"] = 1
    assert read(content, TABLE).videos[1].ignored == ()


def test_what_shows_no_pixel_is_left_out_and_said(
    read: Any, content: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    content["annotations"][1]["segmentation"] = []
    content["annotations"][2]["segmentation"] = [[100.0, 5.0, 120.0, 5.0, 120.0, 19.0]]
    found = read(content)
    assert [[a.id for a in v.annotations] for v in found.videos] == [[10], [14]]
    assert "2 annotations are left out: 1 have no segmentation, only a box or nothing, 1 no pixel" in caplog.text


def test_a_large_file_is_read_once_whatever_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "instances.json"
    write_coco(path, 0.001)
    os.utime(path, (0, 0))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(annotation_cache, "MIN_BYTES", 0)
    first = read_coco(path, tmp_path)
    assert len(first.videos) == 118
    assert sum(len(v.annotations) for v in first.videos) == 860
    monkeypatch.setattr(coco, "read_json", lambda *_: pytest.fail("the file was read again"))
    assert read_coco(path, tmp_path) == first
    narrowed = read_coco(path, tmp_path, read_table("coco_to_ovis"))
    assert 0 < sum(len(v.annotations) for v in narrowed.videos) < sum(len(v.ignored) for v in narrowed.videos)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c.pop("images"), r"lacks a list of 'images': a COCO file of instances"),
        (
            lambda c: c.update(videos=[], images=[]),
            r"has 'videos', as files of YouTube-VIS: read it with dataset=custom",
        ),
        (lambda c: c.update(annotations=[]), "lacks a list of 'annotations'"),
        (lambda c: c["images"].append(c["images"][0]), "image 1 is listed twice"),
        (lambda c: c["images"].append(7), r"image number 4 is 7, not an object with 'id'"),
        (lambda c: c["images"][1].update(height="30"), "image number 2: 'height' must be a whole number, not '30'"),
        (lambda c: c["images"][1].update(file_name="../a.jpg"), r"image 2: '\.\./a\.jpg' is not a file name inside"),
        (lambda c: c["categories"].append({"id": 1}), "category 1 is listed twice"),
        (lambda c: c["annotations"][1].update(id=10), "annotation 10 is listed twice"),
        (lambda c: c["annotations"][1].update(id=True), "annotation number 2: 'id' must be a whole number, not True"),
        (lambda c: c["annotations"][1].update(image_id=9), "annotation 11 is of image 9, which 'images' does not list"),
        (
            lambda c: c["annotations"][1].update(category_id=9),
            "annotation 11 is of category 9, which 'categories' does",
        ),
        (lambda c: c["annotations"][1].update(iscrowd=2), "annotation 11: 'iscrowd' must be 0 or 1, not 2"),
        (lambda c: c["annotations"][1].update(area=-1), "annotation 11: an area is a number of pixels, not -1"),
        (
            lambda c: c["annotations"][1].update(segmentation=[[1, 2, 3]]),
            "annotation 11: a polygon is at least 3 points",
        ),
        (lambda c: c["annotations"][1].update(segmentation=[[0]]), "annotation 11: a polygon is at least 3 points"),
        (lambda c: c["annotations"][1].update(segmentation=[[1, 2, 3, 4, 5, "6"]]), "annotation 11: a polygon holds"),
        (lambda c: c["annotations"][1].update(segmentation=[[1, 2, 3, 4, 5, 1e7]]), "annotation 11: a polygon holds"),
        (lambda c: c["annotations"][1].update(segmentation=5), "annotation 11: a mask is a list of polygons, an RLE"),
        (lambda c: c["annotations"][1].update(segmentation={"counts": [3], "size": [1, 3]}), "the mask's size"),
        (
            lambda c: c["annotations"][1].update(segmentation=[[-9e5, 0, 9e5, 9, -9e5, 9]]),
            "annotation 11: its polygons' outline is far longer than a picture of 40x30 has room for",
        ),
        (
            lambda c: [a.update(segmentation=[[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]) for a in c["annotations"]],
            "the polygons are shares of the picture from 0 to 1: pixels are needed",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    read: Any, content: dict[str, Any], change: Callable[[Any], Any], sentence: str
) -> None:
    change(content)
    with pytest.raises(UserError, match=sentence):
        read(content)


def test_a_file_that_is_none_is_said(read: Any, content: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not JSON: Expecting .* line 1 column"):
        read(json.dumps(content).replace('"id": 10', '"id": '))
    with pytest.raises(UserError, match="it holds a JSON list, not an object; results are not annotations"):
        read("[]")
    with pytest.raises(UserError, match=r"no folder of pictures .*nowhere: set dataset\.images"):
        read_coco(tmp_path / "instances.json", tmp_path / "nowhere")
    content["annotations"] = content["annotations"][2:3]
    with pytest.raises(UserError, match=r"has no annotated object of the categories Person, Cat"):
        read(content, TABLE)


@pytest.mark.parametrize(
    ("layout", "names"),
    [("annotations/instances_{}2017.json", "{}2017"), ("instances_{}.json", "images/{}"), ("{}.json", "images")],
)
def test_the_layouts_that_coco_is_unpacked_into_are_found(
    tmp_path: Path, content: dict[str, Any], layout: str, names: str
) -> None:
    for split in ("train", "val"):
        (tmp_path / layout.format(split)).parent.mkdir(exist_ok=True)
        (tmp_path / layout.format(split)).write_text(json.dumps(content))
        folder = tmp_path / names.format(split)
        folder.mkdir(parents=True, exist_ok=True)
        for number in (1, 2, 3):
            Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{number:04d}.jpg")
    config = load_config(["dataset=coco", f"dataset.root={tmp_path}", "dataset.categories=coco_to_ytvis2019"])
    assert [len(open_split(config.dataset, split).videos) for split in ("train", "valid")] == [2, 3]
    Image.new("RGB", (WIDTH, 9)).save(folder / "0002.jpg")
    with pytest.raises(UserError, match=r"0002.jpg \(video 2, frame 0\) is 40x9, .* says 40x30"):
        open_split(config.dataset, "valid")
    (folder / "0002.jpg").unlink()
    with pytest.raises(UserError, match=r"names images that do not exist: .*0002\.jpg"):
        open_split(config.dataset, "valid")
