"""LabelMe's files as people have them: other sizes, masks, numbers in labels, odd encodings, damage."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vistr.data.importing.labelme import read_labelme
from vistr.data.importing.writing import ImportedVideo
from vistr.data.segmentation import decode
from vistr.errors import UserError

SQUARE = np.zeros((24, 32), bool)
SQUARE[4:12, 6:18] = True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video of one frame, 32x24."""
    (tmp_path / "v").mkdir()
    Image.new("RGB", (32, 24)).save(tmp_path / "v" / "0.png")
    return tmp_path


def shape(label: str = "car", **changed: Any) -> dict[str, Any]:
    return {"label": label, "points": [[6, 4], [18, 4], [18, 12], [6, 12]], "shape_type": "polygon", **changed}


def write(folder: Path, shapes: Any, **keys: Any) -> Path:
    path = folder / "v" / "0.json"
    path.write_text(json.dumps({"shapes": shapes, **keys}))
    return path


def masks(videos: list[ImportedVideo]) -> dict[tuple[str, str], np.ndarray]:
    return {key: decode(frames[0]) > 0 for key, frames in videos[0].objects.items()}


def test_shapes_drawn_on_a_larger_copy_are_scaled(folder: Path) -> None:
    points = [[2 * x, 2 * y] for x, y in shape()["points"]]
    write(folder, [shape(points=points)], imageHeight=48, imageWidth=64)
    np.testing.assert_array_equal(masks(read_labelme(folder))["car", "car"], SQUARE)


def test_shapes_of_a_picture_of_another_shape_are_refused_and_exif_is_named(folder: Path) -> None:
    write(folder, [shape()], imageHeight=20, imageWidth=40)
    with pytest.raises(UserError, match=r"0\.json says 40x20, but the frame is 32x24$"):
        read_labelme(folder)
    write(folder, [shape()], imageHeight=32, imageWidth=24)
    with pytest.raises(UserError, match=r"says 24x32, but the frame is 32x24: one of the two was turned .*EXIF"):
        read_labelme(folder)


def test_shapes_of_a_picture_that_is_turned_by_exif_fit_it_upright(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (24, 32)).save(folder / "v" / "0.png", exif=exif)
    write(folder, [shape()], imageHeight=24, imageWidth=32)
    np.testing.assert_array_equal(masks(read_labelme(folder))["car", "car"], SQUARE)


@pytest.mark.parametrize("scale", [1, 2])
def test_mask_shapes_are_read(folder: Path, scale: int) -> None:
    stored = io.BytesIO()
    Image.fromarray(np.ones((8 * scale, 12 * scale), bool)).save(stored, "PNG")
    text = base64.b64encode(stored.getvalue()).decode()
    points = [[6 * scale, 4 * scale], [18 * scale - 1, 12 * scale - 1]]
    write(folder, [shape(shape_type="mask", points=points, mask=text)], imageHeight=24 * scale, imageWidth=32 * scale)
    np.testing.assert_array_equal(masks(read_labelme(folder))["car", "car"], SQUARE)


def test_a_mask_that_leaves_the_picture_is_cut_off_at_its_border(folder: Path) -> None:
    stored = io.BytesIO()
    Image.fromarray(np.ones((8, 10), bool)).save(stored, "PNG")
    text = base64.b64encode(stored.getvalue()).decode()
    write(folder, [shape(shape_type="mask", points=[[-4, 20], [5, 27]], mask=text)])
    expected = np.zeros((24, 32), bool)
    expected[20:, :6] = True
    np.testing.assert_array_equal(masks(read_labelme(folder))["car", "car"], expected)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["cow-1", "cow-2"], {("cow-1", "cow"), ("cow-2", "cow")}),
        (["cow-0"], {("cow-0", "cow")}),
        (["traffic light-1", "dog"], {("traffic light-1", "traffic light"), ("dog", "dog")}),
        (["cow_1", "cow_2"], {("cow_1", "cow"), ("cow_2", "cow")}),
        (["f-15", "f-16"], {("f-15", "f-15"), ("f-16", "f-16")}),
        (["class_1"], {("class_1", "class_1")}),
        (["covid-19"], {("covid-19", "covid-19")}),
    ],
)
def test_numbers_at_the_end_of_labels_are_objects_of_one_class(
    folder: Path, labels: list[str], expected: set[tuple[str, str]]
) -> None:
    write(folder, [shape(label) for label in labels])
    assert set(masks(read_labelme(folder))) == expected
    assert {category for _, category in masks(read_labelme(folder, labels))} == set(labels)


def test_a_byte_order_mark_is_no_mistake(folder: Path) -> None:
    path = write(folder, [shape("Fußgänger")])
    path.write_text(json.dumps({"shapes": [shape("Fußgänger")]}, ensure_ascii=False), encoding="utf-8-sig")
    assert list(masks(read_labelme(folder))) == [("Fußgänger", "Fußgänger")]


@pytest.mark.parametrize(
    ("shapes", "keys"),
    [
        (None, {}),
        ({"a": 1}, {}),
        (["x", None], {}),
        ([shape(label=None)], {}),
        ([shape(label=["x"])], {}),
        ([shape(label="\ud800")], {}),
        ([shape(points=None)], {}),
        ([shape(points=[[1, 2, 3]] * 4)], {}),
        ([shape(points=[1, 2, 3])], {}),
        ([shape(points=[["x", "y"]] * 4)], {}),
        ([shape(points=[[10**400, 1]] * 4)], {}),
        ([shape(points=[[float("nan"), 1]] * 4)], {}),
        ([shape(points=[[1, 2]])], {}),
        ([shape(shape_type="line")], {}),
        ([shape(shape_type={"a": "b" * 5000})], {}),
        ([shape(shape_type="circle", points=[[1e308, -1e308], [-1e308, 1e308]])], {}),
        ([shape(shape_type="mask", mask="!!")], {}),
        ([shape(shape_type="mask", mask=base64.b64encode(b"\x89PNG\r\n").decode())], {}),
        ([shape(shape_type="mask")], {}),
        ([shape(group_id=[1])], {}),
        ([shape()], {"imageHeight": "x"}),
        ([shape()], {"imageHeight": -3}),
        ([shape()], {"imageHeight": 60000, "imageWidth": 80000}),
        ([shape()], {"imageHeight": True, "imageWidth": 10**400}),
    ],
)
def test_what_is_wrong_is_one_sentence(folder: Path, shapes: Any, keys: dict[str, Any]) -> None:
    path = write(folder, shapes, **keys)
    with pytest.raises(UserError) as error:
        read_labelme(folder)
    text = str(error.value).replace(str(path), "0.json")
    assert "0.json" in text
    assert len(text) <= 300
    assert "\n" not in text


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff\xfe{}", b"{}", b"[1]", b"", b"\xe9" * 5000, b'{"shapes": [' * 2]
)
def test_files_that_are_no_json_of_labelme_are_one_sentence(folder: Path, content: bytes) -> None:
    (folder / "v" / "0.json").write_bytes(content)
    with pytest.raises(UserError, match=r"0\.json") as error:
        read_labelme(folder)
    assert len(str(error.value)) <= 300 + len(str(folder))


def test_two_frames_of_one_name_are_named(folder: Path) -> None:
    Image.new("RGB", (32, 24)).save(folder / "v" / "0.jpg")
    with pytest.raises(UserError, match=r"holds 0\.jpg and 0\.png"):
        read_labelme(folder)


@pytest.mark.parametrize("labels", [("cow#1", "cow#2"), ("cow #1", "cow #2"), ("cow(1)", "cow(2)"), ("cow (0)",)])
def test_other_ways_to_number_objects_are_understood(labels: tuple[str, ...], folder: Path) -> None:
    write(folder, [shape(label) for label in labels])
    assert list(masks(read_labelme(folder))) == [(label, "cow") for label in labels]


@pytest.mark.parametrize("kind", ["oriented_rectangle", "rotation", "quadrilateral", "rectangle"])
def test_outlines_under_other_names_are_areas(kind: str, folder: Path) -> None:
    write(folder, [shape(shape_type=kind)])
    np.testing.assert_array_equal(masks(read_labelme(folder))["car", "car"], SQUARE)


def test_shapes_outside_their_frame_are_said_to_be_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    far = [[x + 500, y] for x, y in shape()["points"]]
    write(folder, [shape(), shape("bus", points=far)])
    assert list(masks(read_labelme(folder))) == [("car", "car")]
    assert "Shapes outside their frame are left out: 1, the first" in caplog.text
