"""Generated videos: what they hold, and how they are written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vistr.data import scenes, shapes
from vistr.data.readers import READERS
from vistr.data.scenes import CATEGORIES, ShapesVideo, draw_video
from vistr.data.segmentation import decode, to_rle
from vistr.data.settings import Dataset
from vistr.data.shapes import write_shapes
from vistr.errors import UserError

SIZE = {"num_frames": 12, "height": 96, "width": 160, "max_objects": 3}
SMALL = {"num_frames": 4, "height": 48, "width": 64, "max_objects": 2}


@pytest.fixture(scope="module")
def videos() -> list[ShapesVideo]:
    return [draw_video(7, index, **SIZE) for index in range(24)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes"), num_videos=6, seed=3, **SIZE)


def read(folder: Path) -> dict:
    return json.loads((folder / "annotations" / "instances_train_sub.json").read_text())


def test_a_video_is_given_by_seed_and_index() -> None:
    first, again = draw_video(5, 3, **SMALL), draw_video(5, 3, **SMALL)
    assert np.array_equal(first.frames, again.frames)
    assert np.array_equal(first.masks, again.masks)
    assert not np.array_equal(first.frames, draw_video(5, 4, **SMALL).frames)
    assert not np.array_equal(first.frames, draw_video(6, 3, **SMALL).frames)


def test_more_videos_extend_the_same_series(tmp_path: Path) -> None:
    few = write_shapes(tmp_path, num_videos=2, seed=3, **SMALL)
    more = write_shapes(tmp_path, num_videos=4, seed=3, **SMALL)
    assert few != more
    assert read(more)["videos"][:2] == read(few)["videos"]
    num = len(read(few)["annotations"])
    assert read(more)["annotations"][:num] == read(few)["annotations"]
    for name in (name for video in read(few)["videos"] for name in video["file_names"]):
        images = [folder / "train" / "JPEGImages" / name for folder in (few, more)]
        assert images[0].read_bytes() == images[1].read_bytes()


def test_masks_of_a_frame_never_overlap(videos: list[ShapesVideo]) -> None:
    assert all(video.masks.sum(axis=0).max() <= 1 for video in videos)


def test_a_mask_has_its_objects_color_and_its_surroundings_have_not(videos: list[ShapesVideo]) -> None:
    def saturation(pixels: np.ndarray) -> np.ndarray:
        return pixels.max(axis=-1).astype(float) - pixels.min(axis=-1)

    # Pixels half covered are a mixture, so the line is drawn between the bold and the grey.
    inside = np.concatenate([saturation(v.frames[v.masks.any(axis=0)]) for v in videos])
    outside = np.concatenate([saturation(v.frames[~v.masks.any(axis=0)]) for v in videos])
    assert np.mean(inside > 50) > 0.98
    assert np.mean(outside < 60) > 0.99


def test_the_boundary_of_a_mask_is_within_half_a_pixel_of_the_circle() -> None:
    for index in range(40):
        video = draw_video(11, index, num_frames=1, height=128, width=128, max_objects=1)
        mask = video.masks[0, 0]
        rows, columns = np.nonzero(mask)
        touches = min(rows.min(), columns.min()) == 0 or max(rows.max(), columns.max()) == 127
        if CATEGORIES[video.category_ids[0] - 1] != "circle" or touches:
            continue
        distance = np.hypot(*(np.indices(mask.shape) - np.array([rows.mean(), columns.mean()])[:, None, None]))
        radius = np.sqrt(mask.sum() / np.pi)
        assert distance[mask].max() < radius + 0.75
        assert distance[~mask].min() > radius - 0.75
        return
    pytest.fail("no circle among 40 videos")


def test_objects_are_large_enough_to_learn_and_leave_room(videos: list[ShapesVideo]) -> None:
    whole = []
    for masks in (track for video in videos for track in video.masks):
        for mask in masks:
            rows, columns = np.nonzero(mask)
            if rows.size and rows.min() > 0 and rows.max() < 95 and columns.min() > 0 and columns.max() < 159:
                whole.append((rows.max() + 1 - rows.min()) / 96)
    assert np.mean(np.array(whole) > 0.15) > 0.97  # the rest are nearly hidden
    assert max(whole) < 0.5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_objects_hide_each_other_and_leave_and_return(seed: int) -> None:
    hidden = returned = 0
    for index in range(24):
        video = draw_video(seed, index, **SIZE)
        seen = video.masks.any(axis=(2, 3))
        for track in seen:
            away = np.flatnonzero(~track)
            returned += bool(away.size and track[: away[0]].any() and track[away[-1] + 1 :].any())
        boxes = [[_box(mask) for mask in frame] for frame in video.masks.swapaxes(0, 1)]
        hidden += any(_meet(a, b) for frame in boxes for k, a in enumerate(frame) for b in frame[:k])
    assert returned >= 4
    assert hidden >= 4


def _box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    rows, columns = np.nonzero(mask)
    return (rows.min(), columns.min(), rows.max(), columns.max()) if rows.size else None


def _meet(a: tuple[int, ...] | None, b: tuple[int, ...] | None) -> bool:
    return a is not None and b is not None and a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_a_nearer_object_cuts_the_mask_of_a_farther_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scenes.paint_instance
    uncut: list[np.ndarray] = []

    def remember(*arguments: object) -> np.ndarray:
        uncut.append(whole(*arguments).copy())
        return uncut[-1]

    monkeypatch.setattr(scenes, "paint_instance", remember)
    num_cut = 0
    for index in range(12):
        uncut.clear()
        video = draw_video(2, index, **SIZE)
        painted = np.stack(uncut).reshape(12, len(video.masks), 96, 160).swapaxes(0, 1)
        for k, track in enumerate(painted):
            nearer = painted[k + 1 :].any(axis=0)
            assert np.array_equal(video.masks[k], track & ~nearer)
            num_cut += np.any(track & nearer)
    assert num_cut > 0


def test_every_category_has_a_color_of_its_own() -> None:
    colors: dict[int, list[np.ndarray]] = {}
    for index in range(60):
        video = draw_video(2, index, **SIZE)
        for category_id, track in zip(video.category_ids, video.masks, strict=True):
            if track.any():
                colors.setdefault(category_id, []).append(video.frames[track].mean(axis=0))
    assert sorted(colors) == list(range(1, len(CATEGORIES) + 1))
    middles = {category_id: np.mean(found, axis=0) for category_id, found in colors.items()}
    for category_id, found in colors.items():
        nearest = [min(middles, key=lambda other: np.linalg.norm(middles[other] - color)) for color in found]
        assert nearest.count(category_id) > 0.9 * len(nearest)


def test_masks_boxes_and_areas_on_disk_are_exact(written: Path) -> None:
    content = read(written)
    drawn = [draw_video(3, index, **SIZE) for index in range(6)]
    tracks = [(index + 1, k) for index, video in enumerate(drawn) for k in range(len(video.masks))]
    assert len(content["annotations"]) == len(tracks)
    for annotation, (video_id, k) in zip(content["annotations"], tracks, strict=True):
        assert annotation["video_id"] == video_id
        assert annotation["category_id"] == drawn[video_id - 1].category_ids[k]
        lists = (annotation["segmentations"], annotation["bboxes"], annotation["areas"])
        for mask, code, box, area in zip(drawn[video_id - 1].masks[k], *lists, strict=True):
            if not mask.any():
                assert code is box is area is None
                continue
            rle = to_rle(code, 96, 160)
            assert rle is not None
            assert np.array_equal(decode(rle).astype(bool), mask)
            rows, columns = np.nonzero(mask)
            ends = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert [box[0], box[1], box[0] + box[2], box[1] + box[3]] == ends
            assert area == mask.sum()


def test_an_object_that_is_gone_has_null_frames(written: Path) -> None:
    codes = [code for annotation in read(written)["annotations"] for code in annotation["segmentations"]]
    assert None in codes


def test_the_frames_on_disk_are_those_drawn(written: Path) -> None:
    video = read(written)["videos"][2]
    assert (video["length"], video["height"], video["width"]) == (12, 96, 160)
    drawn = draw_video(3, 2, **SIZE)
    for name, frame in zip(video["file_names"], drawn.frames, strict=True):
        image = np.asarray(Image.open(written / "train" / "JPEGImages" / name), float)
        assert np.abs(image - frame).mean() < 4


def test_generated_pictures_are_a_coco_dataset_of_other_scenes_with_exact_truth(tmp_path: Path) -> None:
    dataset = Dataset(name="shape_pictures", root=str(tmp_path), num_videos=5, height=48, width=64, seed=3)
    pictures = READERS["shape_pictures"].read(dataset, "train")
    assert [video.file_names for video in pictures.videos] == [(f"{k:012d}.jpg",) for k in range(1, 6)]
    assert pictures.names == list(CATEGORIES)
    scene = {"num_frames": 1, "height": 48, "width": 64, "max_objects": 3}
    for k, video in enumerate(pictures.videos):
        drawn = draw_video(3, shapes.FIRST_PICTURE + k, **scene)
        image = np.asarray(Image.open(pictures.image_folder / video.file_names[0]), float)
        assert np.abs(image - drawn.frames[0]).mean() < 5
        seen = [(one, mask[0]) for one, mask in zip(drawn.category_ids, drawn.masks, strict=True) if mask.any()]
        assert [one.category_id for one in video.annotations] == [category for category, _ in seen]
        for annotation, (_, mask) in zip(video.annotations, seen, strict=True):
            assert np.array_equal(decode(annotation.segmentations[0]), mask)
    # The videos of the same seed show none of these scenes, and lie beside them.
    videos = READERS["shapes"].read(replace(dataset, name="shapes", video_length=1), "train")
    assert videos.annotation_file.parents[1] != pictures.annotation_file.parents[1]
    firsts = [(v.image_folder / one.file_names[0]).read_bytes() for v in (videos, pictures) for one in v.videos]
    assert len(set(firsts)) == 10


def test_a_finished_folder_is_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_shapes(tmp_path, num_videos=2, seed=1, **SMALL)
    monkeypatch.setattr(shapes, "draw_video", lambda *_, **__: pytest.fail("drawn again"))
    assert write_shapes(tmp_path, num_videos=2, seed=1, **SMALL) == folder


def test_an_unfinished_folder_is_written_anew(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path, num_videos=2, seed=1, **SMALL)
    (folder / shapes.MARKER).unlink()
    image = folder / "train" / "JPEGImages" / "00001" / "00000.jpg"
    complete = image.read_bytes()
    image.write_bytes(complete[:50])
    (folder / "stray.txt").touch()
    assert write_shapes(tmp_path, num_videos=2, seed=1, **SMALL) == folder
    assert image.read_bytes() == complete
    assert not (folder / "stray.txt").exists()


def test_an_interruption_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seed: int, index: int, **size: int) -> ShapesVideo:
        if index == 1:
            raise KeyboardInterrupt
        return draw_video(seed, index, **size)

    with monkeypatch.context() as patch:
        patch.setattr(shapes, "draw_video", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_shapes(tmp_path, num_videos=2, seed=1, **SMALL)
    assert list(tmp_path.iterdir()) == []
    assert len(read(write_shapes(tmp_path, num_videos=2, seed=1, **SMALL))["videos"]) == 2


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 36])
def test_any_length_and_number_of_objects_can_be_drawn(frames: int) -> None:
    video = draw_video(0, 2, num_frames=frames, height=32, width=32, max_objects=20)
    assert video.frames.shape == (frames, 32, 32, 3)


def test_numbers_out_of_range_and_unwritable_folders_are_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="max_objects of at least 1"):
        write_shapes(tmp_path, num_videos=2, seed=1, **{**SMALL, "max_objects": 0})
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot write"):
        write_shapes(tmp_path / "file", num_videos=2, seed=1, **SMALL)
