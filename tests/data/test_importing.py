"""Mask pictures, LabelMe's files and CVAT's exports as a dataset to train on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from vistr.data.importing.coco import read_coco
from vistr.data.importing.labelme import read_labelme
from vistr.data.importing.mask_pictures import read_masks
from vistr.data.importing.writing import ImportedVideo, write_custom
from vistr.data.videos import VideoSet
from vistr.errors import UserError
from vistr.files import ROOT

HEIGHT, WIDTH, LENGTH = 12, 16, 3


def square(frame: int, size: int = 4) -> np.ndarray:
    """A square that moves right."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2 : 2 + size, 2 + frame : 2 + frame + size] = 1
    return mask


def corners(frame: int, size: int = 4) -> list[list[float]]:
    left, right = 2.0 + frame, 2.0 + frame + size
    return [[left, 2], [right, 2], [right, 2.0 + size], [left, 2.0 + size]]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Two videos, a and b, of three frames."""
    for video in "ab":
        (tmp_path / "frames" / video).mkdir(parents=True)
        for frame in range(LENGTH):
            Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "frames" / video / f"{frame:03d}.jpg")
    return tmp_path / "frames"


def decoded(video_set: VideoSet) -> list[tuple[int, str, list[np.ndarray | None]]]:
    """Video id, class and masks of every object."""
    names = {category.id: category.name for category in video_set.categories}
    return [
        (video.id, names[one.category_id], [rle and coco_mask.decode(rle) for rle in one.segmentations])
        for video in video_set.videos
        for one in video.annotations
    ]


def assert_object(found: tuple[int, str, list[Any]], video: int, name: str, masks: list[np.ndarray | None]) -> None:
    assert found[:2] == (video, name)
    for ours, expected in zip(found[2], masks, strict=True):
        if expected is None:
            assert ours is None
        else:
            np.testing.assert_array_equal(ours, expected)


class TestMasks:
    def folder(self, tmp_path: Path) -> Path:
        """Numbered objects 1 and 2 in video a, 255 at its edge; 2 is gone in the last frame, which has no picture."""
        (tmp_path / "masks" / "a").mkdir(parents=True)
        for frame in range(LENGTH - 1):
            pixels = square(frame)
            pixels[8:10] = 2
            pixels[11] = 255
            Image.fromarray(pixels).save(tmp_path / "masks" / "a" / f"{frame:03d}.png")
        return tmp_path / "masks"

    def test_numbered_objects_with_their_classes(self, tmp_path: Path, frames: Path) -> None:
        videos = read_masks(self.folder(tmp_path), frames, {"a": {"1": "car", "2": "road"}})
        made = write_custom(tmp_path / "instances.json", frames, videos)
        assert made.names == ["car", "road"]
        band = np.zeros((HEIGHT, WIDTH), np.uint8)
        band[8:10] = 1
        first, second = decoded(made)
        assert_object(first, 1, "car", [square(0), square(1), None])
        assert_object(second, 1, "road", [band, band, None])
        assert made.videos[0].annotations[0].boxes[1] == (3, 2, 4, 4)
        assert made.videos[0].file_names == ("a/000.jpg", "a/001.jpg", "a/002.jpg")

    def test_without_classes_all_are_objects_and_palettes_are_read_as_numbers(
        self, tmp_path: Path, frames: Path
    ) -> None:
        folder = self.folder(tmp_path)
        for file in (folder / "a").iterdir():
            picture = Image.fromarray(np.asarray(Image.open(file)), "P")
            picture.putpalette(list(range(256)) * 3)
            picture.save(file)
        made = write_custom(tmp_path / "instances.json", frames, read_masks(folder, frames))
        assert [name for _, name, _ in decoded(made)] == ["object", "object"]

    def test_a_folder_an_object(self, tmp_path: Path, frames: Path) -> None:
        for name in ("traffic_light_1", "traffic_light_2", "dog"):
            (tmp_path / "masks" / "b" / name).mkdir(parents=True)
            Image.fromarray(square(1) * 255).save(tmp_path / "masks" / "b" / name / "001.png")
        made = write_custom(tmp_path / "instances.json", frames, read_masks(tmp_path / "masks", frames))
        objects = decoded(made)
        assert [name for _, name, _ in objects] == ["dog", "traffic_light", "traffic_light"]
        assert_object(objects[0], 1, "dog", [None, square(1), None])

    @pytest.mark.parametrize(
        ("file", "size", "sentence"),
        [
            ("a/007.png", (WIDTH, HEIGHT), "is the mask of no frame"),
            ("a/000.png", (5, 5), "000.png is 5x5, its frame 16x12"),
            ("c/000.png", (WIDTH, HEIGHT), "frames/c has no frames: .*masks/c has masks of them"),
        ],
    )
    def test_what_does_not_fit_is_named(
        self, file: str, size: tuple[int, int], sentence: str, tmp_path: Path, frames: Path
    ) -> None:
        path = tmp_path / "masks" / file
        path.parent.mkdir(parents=True)
        Image.new("L", size, 1).save(path)
        with pytest.raises(UserError, match=sentence):
            read_masks(tmp_path / "masks", frames)

    def test_an_object_without_its_class_is_named(self, tmp_path: Path, frames: Path) -> None:
        with pytest.raises(UserError, match=r"000\.png shows object 2, whose class is not given for the video a"):
            read_masks(self.folder(tmp_path), frames, {"a": {"1": "car"}})


class TestLabelMe:
    def write(self, frames: Path, video: str, frame: int, *shapes: dict[str, Any]) -> None:
        (frames / video / f"{frame:03d}.json").write_text(json.dumps({"shapes": shapes, "imagePath": "x.jpg"}))

    def test_labels_and_groups_are_objects(self, tmp_path: Path, frames: Path) -> None:
        for frame in (0, 1):
            car = {"label": "car", "group_id": 4, "points": corners(frame), "shape_type": "polygon"}
            other = {"label": "car", "group_id": 5, "points": [[10, 8], [14, 11]], "shape_type": "rectangle"}
            self.write(frames, "a", frame, car, other)
        part = {"label": "car", "group_id": 4, "points": [[0, 8], [4, 12]], "shape_type": "rectangle"}
        self.write(frames, "a", 2, {"label": "car", "group_id": 4, "points": corners(2)}, part)
        self.write(frames, "b", 0, {"label": "ball", "points": [[8, 6], [8, 10]], "shape_type": "circle"})
        made = write_custom(tmp_path / "instances.json", frames, read_labelme(frames), ["car", "ball"])
        assert made.names == ["car", "ball"]
        first, second, ball = decoded(made)
        both = square(2)
        both[8:12, :4] = 1
        assert_object(first, 1, "car", [square(0), square(1), both])
        band = np.zeros((HEIGHT, WIDTH), np.uint8)
        band[8:11, 10:14] = 1
        assert_object(second, 1, "car", [band, band, None])
        assert ball[2][0].sum() == pytest.approx(np.pi * 16, rel=0.1)

    def test_two_of_a_kind_need_numbers(self, frames: Path) -> None:
        self.write(frames, "a", 0, *({"label": "car", "points": corners(i)} for i in (0, 5)))
        with pytest.raises(UserError, match=r"a/000\.json has 2 shapes 'car' without a group_id"):
            read_labelme(frames)

    def test_lines_and_broken_files_are_named(self, frames: Path) -> None:
        self.write(frames, "a", 0, {"label": "car", "points": [[0, 0], [3, 3]], "shape_type": "line"})
        with pytest.raises(UserError, match="a line has no area"):
            read_labelme(frames)
        (frames / "a" / "000.json").write_text("{")
        with pytest.raises(UserError, match=r"000\.json is not JSON"):
            read_labelme(frames)
        (frames / "a" / "000.json").rename(frames / "a" / "009.json")
        with pytest.raises(UserError, match=r"009\.json belongs to no frame"):
            read_labelme(frames)


class TestCoco:
    def content(self) -> dict[str, Any]:
        """As CVAT exports a task of two videos; the object of a has track 0, as a polygon and as an RLE."""
        images = [
            {"id": 1 + 3 * i + frame, "file_name": f"{video}/{frame:03d}.jpg", "height": HEIGHT, "width": WIDTH}
            for i, video in enumerate("ab")
            for frame in reversed(range(LENGTH))
        ]
        by_name = {image["file_name"]: image["id"] for image in images}
        flat = square(2).T.reshape(-1)
        runs = np.diff(np.flatnonzero(np.diff(np.r_[-1, flat, -1])))
        code = {"size": [HEIGHT, WIDTH], "counts": [int(run) for run in runs]}
        track = {"category_id": 9, "iscrowd": 0, "attributes": {"occluded": False, "track_id": 0}}
        polygon = [value for point in corners(0) for value in point]
        return {
            "images": images,
            "categories": [{"id": 9, "name": "cat"}],
            "annotations": [
                {"id": 1, "image_id": by_name["a/000.jpg"], "segmentation": [polygon], **track},
                {"id": 2, "image_id": by_name["a/002.jpg"], "segmentation": code, **track},
                {"id": 3, "image_id": by_name["b/001.jpg"], "segmentation": [polygon], **track, "track_id": 0},
            ],
        }

    def read(self, tmp_path: Path, frames: Path, content: dict[str, Any]) -> list[ImportedVideo]:
        (tmp_path / "coco.json").write_text(json.dumps(content))
        return read_coco(tmp_path / "coco.json", frames)

    def test_tracks_are_objects_and_folders_are_videos(self, tmp_path: Path, frames: Path) -> None:
        videos = self.read(tmp_path, frames, self.content())
        first, second = decoded(write_custom(tmp_path / "instances.json", frames, videos))
        assert_object(first, 1, "cat", [square(0), None, square(2)])
        assert_object(second, 2, "cat", [None, square(0), None])

    def test_video_ids_count_before_folders(self, tmp_path: Path, frames: Path) -> None:
        content = self.content()
        for image in content["images"]:
            image |= {"video_id": 5, "frame_id": image["id"]}
        (video,) = self.read(tmp_path, frames, content)
        assert len(video.file_names) == 2 * LENGTH

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda c: c["annotations"][0].pop("attributes"), "annotation 1 has no track_id: export tracks"),
            (lambda c: c["annotations"][1].update(image_id=77), "annotation 2 is of an image or category"),
            (lambda c: c["images"][0].update(file_name="a/x.jpg"), r"a/x\.jpg and 0 more"),
            (lambda c: c["annotations"][0].update(segmentation=[[1, 2]]), "annotation 1: a polygon is at least"),
            (lambda c: c.pop("images"), "lacks a list of 'images'"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, change: Callable[[dict[str, Any]], Any], sentence: str, tmp_path: Path, frames: Path
    ) -> None:
        content = self.content()
        change(content)
        with pytest.raises(UserError, match=sentence):
            self.read(tmp_path, frames, content)


def test_nothing_found_and_unknown_classes_write_no_file(tmp_path: Path, frames: Path) -> None:
    output = tmp_path / "instances.json"
    with pytest.raises(UserError, match="no object was found"):
        write_custom(output, frames, [ImportedVideo(["a/000.jpg"], HEIGHT, WIDTH)])
    video = ImportedVideo(["a/000.jpg"], HEIGHT, WIDTH)
    video.add("1", "cat", 0, [[2, 2, 8, 2, 8, 8]], "a cat")
    with pytest.raises(UserError, match="classes that are not among the given ones: cat"):
        write_custom(output, frames, [video], ["dog"])
    assert list(tmp_path.glob("*.json")) == list(tmp_path.glob(".*.json")) == []


def test_frames_of_two_sizes_are_named(tmp_path: Path, frames: Path) -> None:
    Image.new("RGB", (4, 4)).save(frames / "a" / "001.jpg")
    with pytest.raises(UserError, match=r"of different sizes: .*001\.jpg 4x4"):
        read_labelme(frames)


def test_the_script_says_how_to_train_on_it(tmp_path: Path, frames: Path) -> None:
    TestLabelMe().write(frames, "a", 0, {"label": "car", "points": corners(0)})
    output = tmp_path / "instances.json"
    command = [sys.executable, str(ROOT / "scripts/make_dataset.py"), "labelme", str(frames), str(output)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 videos, 1 objects, classes car" in done.stdout
    assert f"dataset=custom dataset.annotations={output} dataset.images={frames}" in done.stdout
    failed = subprocess.run([*command[:-2], "nowhere", str(output)], env=environment, capture_output=True, text=True)
    assert failed.returncode == 1
    assert failed.stderr == "nowhere: there is no such folder (LabelMe's files)\n"
