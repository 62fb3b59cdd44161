"""COCO files as people have them: order, sizes, and entries that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vistr.data.importing.coco import read_coco
from vistr.data.importing.writing import ImportedVideo
from vistr.data.segmentation import decode
from vistr.errors import UserError

HEIGHT, WIDTH = 12, 16
POLYGON = [2.0, 2.0, 10.0, 2.0, 10.0, 8.0, 2.0, 8.0]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A video of twelve frames, v/1.png to v/12.png."""
    (tmp_path / "frames" / "v").mkdir(parents=True)
    for number in range(1, 13):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "frames" / "v" / f"{number}.png")
    return tmp_path / "frames"


def content() -> dict[str, Any]:
    return {
        "images": [
            {"id": n, "file_name": f"v/{n}.png", "height": HEIGHT, "width": WIDTH} for n in reversed(range(1, 13))
        ],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 2, "category_id": 1, "track_id": 7, "segmentation": [POLYGON]}],
    }


def read(frames: Path, written: Any) -> list[ImportedVideo]:
    path = frames.parent / "coco.json"
    path.write_bytes(written if isinstance(written, bytes) else json.dumps(written).encode("utf-8", "surrogatepass"))
    return read_coco(path, frames)


def test_frames_come_in_the_order_people_number_them(frames: Path) -> None:
    (video,) = read(frames, content())
    assert video.file_names == [f"v/{number}.png" for number in range(1, 13)]
    assert list(video.objects["7", "cat"]) == [1]


@pytest.mark.parametrize("kind", ["polygon", "rle"])
def test_objects_of_larger_copies_of_the_images_are_scaled(kind: str, frames: Path) -> None:
    expected = decode(read(frames, content())[0].objects["7", "cat"][1])
    changed = content()
    for image in changed["images"]:
        image |= {"height": 2 * HEIGHT, "width": 2 * WIDTH}
    if kind == "polygon":
        segmentation: Any = [[2 * value for value in POLYGON]]
    else:
        large = np.kron(expected, np.ones((2, 2), np.uint8)).T.reshape(-1)
        runs = np.diff(np.flatnonzero(np.diff(np.r_[-1, large, -1])))
        segmentation = {"size": [2 * HEIGHT, 2 * WIDTH], "counts": runs.tolist()}
    changed["annotations"][0]["segmentation"] = segmentation
    np.testing.assert_array_equal(decode(read(frames, changed)[0].objects["7", "cat"][1]), expected)


def test_images_of_another_shape_than_the_file_says_are_refused(frames: Path) -> None:
    changed = content()
    changed["images"][0] |= {"height": WIDTH, "width": HEIGHT}
    with pytest.raises(UserError, match=r"image 1 says 12x16, but the frame is 16x12: one of the two was turned"):
        read(frames, changed)


def test_boxes_without_masks_are_counted(frames: Path, caplog: pytest.LogCaptureFixture) -> None:
    changed = content()
    changed["annotations"] += [{"id": 2, "image_id": 3, "category_id": 1, "track_id": 7, "bbox": [1, 1, 4, 4]}]
    assert list(read(frames, changed)[0].objects["7", "cat"]) == [1]
    assert "1 annotations have no segmentation" in caplog.text


def test_boxes_that_say_that_masks_or_boxes_are_read_wrongly_are_compared_with_the_masks(frames: Path) -> None:
    changed = content()
    changed["annotations"][0]["bbox"] = [2, 2, 8, 6]
    read(frames, changed)
    changed["annotations"][0]["bbox"] = [2 / WIDTH, 2 / HEIGHT, 8 / WIDTH, 6 / HEIGHT]
    with pytest.raises(UserError, match=r"they are shares of the picture from 0 to 1, .* remove 'bbox'"):
        read(frames, changed)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2:8, 2:10] = 1
    runs = np.diff(np.flatnonzero(np.diff(np.r_[-1, mask.reshape(-1), -1]))).tolist()
    changed["annotations"][0] |= {"bbox": [2, 2, 8, 6], "segmentation": {"size": [HEIGHT, WIDTH], "counts": runs}}
    with pytest.raises(UserError, match="the run lengths were counted along rows"):
        read(frames, changed)


WRONG: list[tuple[str, list[Any]]] = [
    ("images", [None, 3, "x", [None], [3], [[]], [{}], [{"id": 1}], [{"file_name": "v/1.png"}], {"a": 1}]),
    (
        "categories",
        [None, [None], [{"id": [1], "name": "x"}], [{"id": 1, "name": ["x"]}], [{"id": 1, "name": "\ud800"}]],
    ),
    ("annotations", [None, 3, [None], ["x"], [{}], [[1]], [{"image_id": [1], "category_id": 1}]]),
]


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG for value in values])
def test_lists_that_hold_something_else_are_one_sentence(key: str, value: Any, frames: Path) -> None:
    with pytest.raises(UserError) as error:
        read(frames, content() | {key: value})
    assert len(str(error.value).replace(str(frames.parent), "")) <= 300


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("images", {"file_name": "../v/1.png"}),
        ("images", {"file_name": "/etc/passwd"}),
        ("images", {"file_name": "v/\0.png"}),
        ("images", {"file_name": 5}),
        ("images", {"id": 11}),
        ("images", {"id": {}}),
        ("images", {"video_id": [1]}),
        ("images", {"frame_id": [[1]]}),
        ("images", {"frame_id": float("nan")}),
        ("images", {"height": "x"}),
        ("images", {"height": 10**400}),
        ("images", {"height": 1, "width": 1}),
        ("annotations", {"attributes": 5}),
        ("annotations", {"track_id": [1]}),
        ("annotations", {"track_id": None}),
        ("annotations", {"segmentation": 5}),
        ("annotations", {"segmentation": [5]}),
        ("annotations", {"segmentation": ["x" * 5000]}),
        ("annotations", {"segmentation": [[1, 2, 3, 4, 5, 10**400]]}),
        ("annotations", {"segmentation": {"size": [HEIGHT, WIDTH], "counts": "\ud800"}}),
        ("annotations", {"segmentation": {"size": [70000, 70000], "counts": [4900000000]}}),
    ],
)
def test_entries_with_odd_values_are_one_sentence(section: str, changes: dict[str, Any], frames: Path) -> None:
    changed = content()
    changed[section][0] |= changes
    with pytest.raises(UserError) as error:
        read(frames, changed)
    text = str(error.value).replace(str(frames.parent), "")
    assert len(text) <= 300
    assert "\n" not in text


@pytest.mark.parametrize("written", [b"[" * 100_000, b"\xff" * 2000, b"", b"[]", b"3", b'{"images": []}'])
def test_files_that_are_no_coco_are_one_sentence(written: bytes, frames: Path) -> None:
    with pytest.raises(UserError, match=r"coco\.json") as error:
        read(frames, written)
    assert len(str(error.value)) <= 300 + len(str(frames))


def test_objects_outside_their_frame_are_said_to_be_left_out(frames: Path, caplog: pytest.LogCaptureFixture) -> None:
    changed = content()
    far = [value + 500 for value in POLYGON]
    changed["annotations"].append(changed["annotations"][0] | {"id": 2, "track_id": 8, "segmentation": [far]})
    assert list(read(frames, changed)[0].objects) == [("7", "cat")]
    assert "1 annotations have no pixel inside their frame" in caplog.text
