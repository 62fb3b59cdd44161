"""What `input=` may name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vistr.data.sources import open_sources, open_video
from vistr.data.video import VideoWriter
from vistr.errors import UserError


def picture(value: int, height: int = 24, width: int = 40) -> Image.Image:
    return Image.fromarray(np.full((height, width, 3), value, np.uint8))


def frames_in(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True)
    for value, name in enumerate(names, 1):
        picture(10 * value).save(folder / name)
    return folder


def values(source: object) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in source]  # type: ignore[attr-defined]


def test_a_folder_of_frames_is_a_video_in_the_order_people_number_them(tmp_path: Path) -> None:
    folder = frames_in(tmp_path / "walk", ["f10.png", "f2.png", "f1.PNG"])
    (folder / "notes.txt").write_text("not a frame")
    source = open_video(folder)
    assert values(source) == [30, 20, 10]
    assert values(source) == [30, 20, 10]
    assert (source.name, source.size, source.num_frames) == ("walk", (24, 40), 3)


def test_images_are_turned_upright_as_their_camera_says(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    picture(50).save(folder / "1.jpg", exif=exif)
    source = open_video(folder)
    assert source.size == (40, 24)
    assert next(iter(source)).shape == (40, 24, 3)


def test_a_pattern_of_images_is_one_video_and_a_pattern_of_videos_is_several(tmp_path: Path) -> None:
    folder = frames_in(tmp_path / "walk", ["a1.png", "a2.png", "b1.png"])
    assert values(open_video(f"{folder}/a*.png")) == [10, 20]
    for name in ("x", "y"):
        with VideoWriter(tmp_path / f"{name}.mp4", 5) as writer:
            writer.write(np.asarray(picture(90)))
    sources = open_sources(f"{tmp_path}/*.mp4")
    assert [(number, source.name) for number, source in sources] == [(1, "x"), (2, "y")]
    with pytest.raises(UserError, match="holds 2 videos"):
        open_video(f"{tmp_path}/*.mp4")
    with pytest.raises(UserError, match=r"images and other files, such as x\.mp4"):
        open_sources(f"{tmp_path}/**/*.*")


def test_one_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    picture(70).save(tmp_path / "one.png")
    assert values(open_video(tmp_path / "one.png")) == [70]


def test_frames_of_different_sizes_are_named_with_their_sizes(tmp_path: Path) -> None:
    folder = frames_in(tmp_path / "walk", ["1.png", "2.png"])
    picture(1, 20, 40).save(folder / "3.png")
    with pytest.raises(UserError, match=r"3\.png is 40x20, but 1\.png is 40x24"):
        list(open_video(folder))


def test_what_holds_no_frame_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no frames"):
        open_video(tmp_path / "empty")
    with pytest.raises(UserError, match="there is no such file or folder"):
        open_video(tmp_path / "none.mp4")
    with pytest.raises(UserError, match="no file matches it"):
        open_video(f"{tmp_path}/*.mp4")
    (tmp_path / "1.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"1\.png is not an image"):
        open_video(tmp_path / "1.png")
    picture(3).save(tmp_path / "2.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:60])
    with pytest.raises(UserError, match=r"2\.png is damaged or cut short"):
        open_video(tmp_path / "2.png")


def dataset(folder: Path, images: Path) -> Path:
    videos = []
    for number, name in ((7, "run"), (9, "jump")):
        frames_in(images / name, ["0.png", "1.png"])
        names = [f"{name}/0.png", f"{name}/1.png"]
        videos.append({"id": number, "height": 24, "width": 40, "file_names": names})
    path = folder / "instances.json"
    path.write_text(json.dumps({"videos": videos, "categories": [{"id": 1, "name": "cat"}]}))
    return path


def test_an_annotation_file_gives_its_videos_with_their_ids(tmp_path: Path) -> None:
    sources = open_sources(str(dataset(tmp_path, tmp_path / "JPEGImages")))
    assert [(number, source.name, values(source)) for number, source in sources] == [
        (7, "run", [10, 20]),
        (9, "jump", [10, 20]),
    ]


def test_frames_that_are_not_beside_their_annotation_file_can_be_named(tmp_path: Path) -> None:
    path = dataset(tmp_path, tmp_path / "far" / "away")
    with pytest.raises(UserError, match=r"set dataset\.images="):
        open_sources(str(path))
    assert len(open_sources(str(path), tmp_path / "far" / "away")) == 2
    with pytest.raises(UserError, match="belongs to an annotation file"):
        open_sources(str(tmp_path / "far" / "away" / "run"), tmp_path)


def test_folders_of_folders_and_patterns_of_folders_are_a_video_each(tmp_path: Path) -> None:
    for name in ("v10", "v9"):
        frames_in(tmp_path / "JPEGImages" / "480p" / name, ["1.png", "2.png"])
    frames_in(tmp_path / "JPEGImages" / ".cache", ["1.png"])
    (tmp_path / "JPEGImages" / "readme.txt").write_text("no video")
    images = tmp_path / "JPEGImages"
    for given in (images, f"{images}/480p/*", f"{images}/480p/*/*.png", f"{images}/480p/", f"{images}/*"):
        sources = open_sources(str(given))
        assert [(number, source.name, values(source)) for number, source in sources] == [
            (1, "v9", [10, 20]),
            (2, "v10", [10, 20]),
        ]


def test_a_folder_of_video_files_is_a_video_each(tmp_path: Path) -> None:
    for name in ("x", "y"):
        with VideoWriter(tmp_path / f"{name}.mp4", 5) as writer:
            writer.write(np.asarray(picture(90)))
    assert [source.name for _, source in open_sources(str(tmp_path))] == ["x", "y"]


def test_a_file_of_several_frames_is_a_video_and_several_such_files_are_several(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        picture(10).save(tmp_path / name, save_all=True, append_images=[picture(20), picture(30)])
    source = open_video(tmp_path / "a.tif")
    assert (source.name, source.num_frames, source.size, values(source)) == ("a", 3, (24, 40), [10, 20, 30])
    for given in (tmp_path, f"{tmp_path}/*.tif"):
        assert [(source.name, values(source)) for _, source in open_sources(str(given))] == [
            ("a", [10, 20, 30]),
            ("b", [10, 20, 30]),
        ]
    picture(10).save(tmp_path / "c.png", save_all=True, append_images=[picture(20)], duration=[100, 700])
    source = open_video(tmp_path / "c.png")
    assert values(source) == [10, 20]
    assert (source.times, source.frames_per_second) == ([0.0, pytest.approx(0.1)], pytest.approx(2.5))


def test_a_file_of_frames_of_several_sizes_is_refused(tmp_path: Path) -> None:
    picture(10).save(tmp_path / "a.tif", save_all=True, append_images=[picture(20, 10, 10)])
    with pytest.raises(UserError, match=r"a\.tif, frame 1, is 10x10, but its first one is 40x24"):
        values(open_video(tmp_path / "a.tif"))


def test_the_folder_one_stands_in_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(frames_in(tmp_path / "walk", ["1.png"]))
    assert open_video(".").name == "walk"
