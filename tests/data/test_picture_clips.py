"""Clips made of pictures: the same for the same seed, masks as the pictures move, what is outside, what is ignored."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vistr.data.buckets import few_sizes, sizes_met
from vistr.data.category_tables import CategoryTable
from vistr.data.clip_sources import Clip, VideoClips
from vistr.data.coco import read_coco
from vistr.data.loader import ClipLoader
from vistr.data.mixture import Mixture
from vistr.data.picture_clips import OUTSIDE, PictureClips
from vistr.data.samples import load_frames
from vistr.data.segmentation import encode, to_json
from vistr.data.settings import Augmentation, Motion
from vistr.data.transforms import Resize
from vistr.data.videos import Category, VideoSet

HEIGHT, WIDTH = 96, 128
STILL = Motion(rotation=0, zoom=1, shift=0)
PLAIN = Augmentation(flip=0, resize_short=[], photometric=False, crop_resize_short=[])
CROPPED = replace(PLAIN, flip=0.5, crop_resize_short=[80, 100], crop_min=60, crop_max=90)
COLOURS = ((250, 30, 30), (30, 250, 30), (30, 30, 250))


def discs() -> list[np.ndarray]:
    """Three discs that overlap; the first is nearest."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return [(x - cx) ** 2 + (y - cy) ** 2 < r * r for cx, cy, r in ((40, 40, 22), (60, 50, 24), (108, 70, 15))]


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., VideoSet]:
    """Pictures of discs on black, in colours of their own: the first two are things, the third is ignored."""

    def make(count: int = 1, **changes: Any) -> VideoSet:
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for mask, colour in list(zip(discs(), COLOURS, strict=True))[::-1]:
            pixels[mask] = colour
        images, annotations = [], []
        for image in range(1, count + 1):
            images.append({"id": image, "file_name": f"{image}.png", "height": HEIGHT, "width": WIDTH})
            Image.fromarray(pixels).save(tmp_path / f"{image}.png")
            for number, mask in enumerate(discs()):
                annotation = {"image_id": image, "category_id": 1 + number // 2, "segmentation": to_json(encode(mask))}
                annotations.append({"id": 10 * image + number, **annotation, **changes})
        names = [{"id": 1, "name": "person"}, {"id": 2, "name": "bottle"}]
        path = tmp_path / "instances.json"
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": names}))
        return read_coco(path, tmp_path, CategoryTable(path, (Category(5, "Person"),), {"person": "Person"}))

    return make


def clips_of(videos: VideoSet, num_frames: int = 4, **changes: Any) -> PictureClips:
    settings = {"augmentation": PLAIN, "motion": Motion(), "short_side": HEIGHT, "long_side": 2 * WIDTH}
    return PictureClips(videos, num_frames=num_frames, **{**settings, "size_divisor": 32, **changes})


def load(clips: PictureClips, seed: int = 0, clip: int = 0) -> Clip:
    return clips.load(clip, 0, np.random.default_rng(seed))


def test_without_motion_every_frame_is_the_picture_and_every_mask_its_own(pictures: Any) -> None:
    videos = pictures()
    frames, targets = load(clips_of(videos, motion=STILL))
    picture, _ = load_frames(videos, videos.videos[0], [0], [], 32)
    np.testing.assert_array_equal(frames, np.repeat(picture, 4, axis=0))
    assert targets.labels.tolist() == [1, 1]
    for mask, track in zip(discs(), targets.masks, strict=False):
        np.testing.assert_array_equal(track, np.repeat(mask[None], 4, axis=0))
    assert not targets.outside.any()
    assert targets.valid.all()
    left, right = 40 - 22, 40 + 22
    np.testing.assert_allclose(targets.boxes[0, :, [0, 2]].T, [((left + right) / 2 / WIDTH, 44 / WIDTH)] * 4, atol=0.01)


@pytest.mark.parametrize("short_side", [32, 48, 96, 150])
def test_without_motion_frames_are_resized_as_those_of_videos(pictures: Any, short_side: int) -> None:
    videos = pictures()
    frames, targets = load(clips_of(videos, motion=STILL, short_side=short_side))
    steps = [Resize((HEIGHT, WIDTH), targets.size)]
    resized, _ = load_frames(videos, videos.videos[0], [0], steps, 32)
    assert np.abs(frames[0].astype(int) - resized[0]).max() <= (0 if short_side <= HEIGHT else 2)


@pytest.mark.parametrize("short_side", [40, 96, 160])
@pytest.mark.parametrize("seed", range(4))
def test_a_mask_is_the_silhouette_of_the_warped_picture(
    tmp_path: Path, pictures: Any, seed: int, short_side: int
) -> None:
    videos = pictures()
    Image.fromarray(discs()[1] * np.uint8(255)).convert("RGB").save(tmp_path / "1.png")
    motion = Motion(rotation=40, zoom=2, shift=0.3)
    frames, targets = load(clips_of(videos, 6, motion=motion, augmentation=CROPPED, short_side=short_side), seed)
    height, width = targets.size
    silhouette = frames[:, :height, :width, 1] >= 128
    silhouette &= ~targets.outside[:, :height, :width]
    seen = targets.masks[1, :, :height, :width] > 0
    np.testing.assert_array_equal(seen, silhouette)
    assert seen.any()


def test_masks_of_objects_that_overlap_do_not_cut_one_another(pictures: Any) -> None:
    _, targets = load(clips_of(pictures(), motion=Motion(rotation=10, zoom=1.2)))
    assert (targets.masks[0] & targets.masks[1]).any(axis=(1, 2)).all()


def test_what_the_picture_does_not_reach_is_outside_and_looks_like_padding(pictures: Any) -> None:
    frames, targets = load(clips_of(pictures(), 8, motion=Motion(rotation=45, zoom=1), augmentation=PLAIN), 3)
    assert targets.outside.shape == frames.shape[:3]
    assert targets.outside.any()
    assert (frames[targets.outside] == OUTSIDE).all()
    assert not (targets.masks[:, targets.outside]).any()
    # The rest of the frame is the picture, black or one of its colours: nowhere the colour of padding.
    height, width = targets.size
    inside = ~targets.outside[:, :height, :width]
    assert (np.abs(frames[:, :height, :width][inside].astype(int) - OUTSIDE).max(axis=-1) > 5).all()


def test_an_object_that_leaves_the_window_is_absent_there(pictures: Any) -> None:
    crop = replace(PLAIN, crop_resize_short=[96], crop_min=40, crop_max=40)
    absent = 0
    for seed in range(12):
        _, targets = load(clips_of(pictures(), 8, augmentation=crop, motion=STILL), seed)
        assert (targets.valid == targets.masks.any(axis=(2, 3))).all()
        assert (targets.boxes[~targets.valid] == 0).all()
        assert targets.valid.any(axis=1).all()
        absent += int((~targets.valid).sum())
    assert absent > 10


def test_the_same_generator_gives_the_same_clip_and_another_one_another(pictures: Any) -> None:
    clips = clips_of(pictures(3), augmentation=replace(CROPPED, photometric=True), motion=Motion(occlusion=0.5))
    (frames, targets), (again, others) = load(clips, 7), load(clips, 7)
    np.testing.assert_array_equal(frames, again)
    for name, value in vars(targets).items():
        np.testing.assert_array_equal(value, getattr(others, name))
    assert clips.padded_size(0, 0, np.random.default_rng(7)) == frames.shape[1:3]
    other, _ = load(clips, 8)
    assert other.shape != frames.shape or not np.array_equal(other, frames)


def test_one_flip_a_clip(pictures: Any) -> None:
    videos = pictures()
    picture, _ = load_frames(videos, videos.videos[0], [0], [], 32)
    found = set()
    for seed in range(8):
        frames, _ = load(clips_of(videos, motion=STILL, augmentation=replace(PLAIN, flip=0.5)), seed)
        flips = {"plain" if np.array_equal(frame, picture[0]) else "flipped" for frame in frames}
        assert len(flips) == 1
        found |= flips
        if flips == {"flipped"}:
            np.testing.assert_array_equal(frames[0], picture[0][:, ::-1])
    assert found == {"plain", "flipped"}


def test_motion_is_smooth_and_goes_either_way(pictures: Any) -> None:
    directions = set()
    for seed in range(10):
        _, targets = load(clips_of(pictures(), 12, motion=Motion(rotation=0, zoom=1, shift=0.4)), seed)
        x = targets.boxes[0, targets.valid[0], 0]
        # What is whole in the frame moves one way.
        steps = np.diff(x[2:-2])
        directions.add(bool(steps.sum() > 0))
    assert directions == {True, False}


def test_ignored_objects_have_boxes_and_no_masks(pictures: Any) -> None:
    _, targets = load(clips_of(pictures(), motion=STILL))
    assert targets.ignored is not None
    expected = [108 / WIDTH, 70 / HEIGHT, 30 / WIDTH, 30 / HEIGHT]
    np.testing.assert_allclose(targets.ignored, [[expected] * 4], atol=0.01)
    _, few = load(clips_of(pictures(), motion=replace(STILL, max_objects=1)))
    assert len(few.labels) == 1
    assert few.ignored is not None
    assert len(few.ignored) == 2


def test_an_object_of_another_picture_is_pasted_over_the_clip_and_is_one_of_its_objects(pictures: Any) -> None:
    videos = pictures(2)
    plain = clips_of(videos, 6, motion=Motion(rotation=0, zoom=1, shift=0))
    pasted = clips_of(videos, 6, motion=Motion(rotation=0, zoom=1, shift=0, occlusion=1))
    covered = 0
    for seed in range(8):
        frames, targets = load(pasted, seed)
        _, before = load(plain, seed)
        if len(targets.labels) == len(before.labels):
            continue  # it drew the clip's own picture
        own, paste = targets.masks[:-1] > 0, targets.masks[-1] > 0
        assert len(own) == len(before.masks)
        np.testing.assert_array_equal(own, (before.masks > 0) & ~paste)
        assert not (own & paste).any()
        # It is a disc in one colour.
        inner = frames[paste]
        assert (inner.max(axis=1) > 100).mean() > 0.9
        covered += int((before.masks[:, paste] > 0).sum())
    assert covered > 0


def test_a_picture_of_crowds_and_ignored_objects_gives_a_clip_without_objects(pictures: Any) -> None:
    videos = pictures()
    bare = replace(videos, videos=tuple(replace(v, annotations=()) for v in videos.videos))
    _, targets = load(clips_of(bare))
    assert targets.masks.shape[0] == len(targets.labels) == 0
    assert targets.boxes.shape == (0, 4, 4)


def test_batches_are_the_same_whatever_the_workers_and_go_on_where_they_stopped(pictures: Any) -> None:
    clips = clips_of(pictures(5), augmentation=replace(CROPPED, photometric=True), motion=Motion(occlusion=0.3))

    def batches(workers: int, start: int = 0) -> list[Any]:
        loader = ClipLoader(clips, batch_size=2, seed=3, num_workers=workers, shuffle=True)
        return list(loader.epoch(1, start))

    alone = batches(0)
    for other in (batches(3), alone[:1] + batches(0, 2)):
        assert len(other) == len(alone) == 3
        for one, same in zip(alone, other, strict=True):
            np.testing.assert_array_equal(one.frames, same.frames)
            for targets, theirs in zip(one.targets, same.targets, strict=True):
                np.testing.assert_array_equal(targets.masks, theirs.masks)
                assert targets.outside.shape == one.frames.shape[1:4]


def test_in_a_mixture_clips_of_videos_have_targets_of_the_same_kind(pictures: Any) -> None:
    videos = pictures()
    plain = VideoClips(
        videos, num_frames=4, augmentation=PLAIN, short_side=HEIGHT, long_side=2 * WIDTH, size_divisor=32
    )
    mixture = Mixture({"coco": clips_of(videos), "videos": plain}, seed=0)
    found = [mixture.load(clip, 0, np.random.default_rng(0)) for clip in range(2)]
    assert [targets.source for _, targets in found] == ["coco", "videos"]
    assert all(targets.outside.shape == frames.shape[:3] for frames, targets in found)
    assert not found[1][1].outside.any()
    assert Mixture({"a": plain, "b": plain}, seed=0).load(0, 0, np.random.default_rng(0))[1].outside is None


@pytest.mark.parametrize("augmentation", [PLAIN, replace(PLAIN, resize_short=[77, 91, 103], resize_long=130), CROPPED])
def test_clips_have_the_sizes_that_are_compiled_for_videos(pictures: Any, augmentation: Augmentation) -> None:
    few = few_sizes(augmentation, 90, 120, 16)
    clips = clips_of(pictures(), augmentation=augmentation, short_side=90, long_side=120, size_divisor=16, sizes=few)
    known = sizes_met({(HEIGHT, WIDTH)}, augmentation, 90, 120, 16, few)
    assert {clips.padded_size(0, 0, np.random.default_rng(seed)) for seed in range(40)} <= set(known)
