"""Steps that move frames, boxes and masks together."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vistr.data.settings import Augmentation
from vistr.data.transforms import (
    Distort,
    Flip,
    Resize,
    ResizedCrop,
    draw_steps,
    move_boxes,
    move_frame,
    resized,
    shown_pixels,
)

HEIGHT, WIDTH = 90, 140
BOX = (41.0, 23.0, 78.0, 66.0)
PLAIN = Augmentation(resize_short=[60, 70], resize_long=130, photometric=False, crop_resize_short=[])


def picture() -> tuple[Image.Image, np.ndarray]:
    """A bright rectangle at BOX on black, and its mask."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    left, top, right, bottom = map(int, BOX)
    mask[top:bottom, left:right] = 1
    return Image.fromarray(255 * mask).convert("RGB"), mask


def box_of(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


STEPS = {
    "flip": [Flip(WIDTH)],
    "shrink": [Resize((HEIGHT, WIDTH), (37, 61))],
    "grow": [Resize((HEIGHT, WIDTH), (201, 313))],
    "crop": [ResizedCrop(Resize((HEIGHT, WIDTH), (120, 187)), 40, 30, 70, 80)],
    "all": [
        Flip(WIDTH),
        Resize((HEIGHT, WIDTH), (120, 187)),
        ResizedCrop(Resize((120, 187), (100, 156)), 11, 7, 77, 90),
        Resize((77, 90), (64, 75)),
    ],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_frame_box_and_mask_move_together(steps):
    image, mask = picture()
    moved = np.asarray(move_frame(steps, image, 0))
    rows, columns = shown_pixels(steps, HEIGHT, WIDTH)
    moved_mask = mask[rows][:, columns]
    assert moved.shape == (*moved_mask.shape, 3)
    bright = moved[..., 0] > 127
    assert (bright & (moved_mask > 0)).sum() / (bright | (moved_mask > 0)).sum() > 0.95
    np.testing.assert_allclose(move_boxes(steps, np.array(BOX)), box_of(moved_mask), atol=1)


@pytest.mark.parametrize("seed", range(20))
def test_drawn_steps_move_frame_box_and_mask_together(seed):
    augmentation = Augmentation(
        resize_short=[60, 130], crop_resize_short=[70, 100], crop_min=50, crop_max=90, photometric=False
    )
    steps = draw_steps(augmentation, (HEIGHT, WIDTH), 1, 64, 100, np.random.default_rng(seed))
    image, mask = picture()
    rows, columns = shown_pixels(steps, HEIGHT, WIDTH)
    moved_mask = mask[rows][:, columns]
    assert move_frame(steps, image, 0).size == moved_mask.shape[::-1]
    if moved_mask.any():
        np.testing.assert_allclose(move_boxes(steps, np.array(BOX)), box_of(moved_mask), atol=2)


@pytest.mark.parametrize("place", [(0, 0), (43, 67), (17, 31)])
def test_a_resized_crop_is_the_crop_of_the_resized_frame(place):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    top, left = place
    crop = ResizedCrop(Resize((HEIGHT, WIDTH), (120, 187)), top, left, 77, 120)
    whole = image.resize((187, 120), Image.Resampling.BILINEAR).crop((left, top, left + 120, top + 77))
    difference = np.asarray(crop.frame(image, 0)).astype(int) - np.asarray(whole)
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize(
    ("before", "short", "long", "after"),
    [
        ((720, 1280), 300, 540, (300, 533)),
        ((1280, 720), 300, 540, (533, 300)),
        ((360, 640), 360, 640, (360, 640)),
        ((720, 1280), 768, 800, (450, 800)),
        ((500, 1000), 300, 540, (270, 540)),
        ((333, 1000), 300, 540, (180, 540)),
        ((480, 480), 300, None, (300, 300)),
        ((200, 500), 400, None, (400, 1000)),
        ((2, 3000), 300, 540, (1, 1500)),
    ],
)
def test_sizes_are_rounded_as_in_the_original(before, short, long, after):
    assert resized(*before, short, long) == after


def test_evaluation_only_resizes():
    assert draw_steps(None, (720, 1280), 3, 300, 540, np.random.default_rng(0)) == [Resize((720, 1280), (300, 533))]


def test_empty_stages_are_skipped():
    augmentation = Augmentation(flip=0, resize_short=[], photometric=False, crop_resize_short=[])
    assert draw_steps(augmentation, (90, 160), 3, 90, 160, np.random.default_rng(0)) == [Resize((90, 160), (90, 160))]


def test_the_default_augmentation_draws_the_originals_stages_within_their_ranges():
    flips = 0
    shorts, crop_shorts, sides = set(), set(), []
    for seed in range(200):
        steps = draw_steps(Augmentation(), (720, 960), 2, 300, 540, np.random.default_rng(seed))
        flips += isinstance(steps[0], Flip)
        resize, distortion, crop, last = steps[-4:]
        assert isinstance(resize, Resize)
        assert isinstance(distortion, Distort)
        assert isinstance(crop, ResizedCrop)
        assert len(distortion.distortions) == 2
        shorts.add(min(resize.after))
        crop_shorts.add(min(crop.resize.after))
        sides += [crop.height, crop.width]
        assert crop.top + crop.height <= crop.resize.after[0]
        assert crop.left + crop.width <= crop.resize.after[1]
        assert min(last.after) == 300 or max(last.after) == 540
    assert 70 < flips < 130
    # A short side over 600 would make the long side pass 800.
    assert shorts == {480, 512, 544, 576, 600}
    assert crop_shorts == {400, 500, 600}
    assert (min(sides), max(sides)) == (384, 600)


def test_a_crop_is_no_larger_than_a_small_frame():
    augmentation = Augmentation(resize_short=[], photometric=False, crop_resize_short=[40])
    (crop,) = (
        step
        for step in draw_steps(augmentation, (48, 64), 1, 40, 100, np.random.default_rng(0))
        if isinstance(step, ResizedCrop)
    )
    assert (crop.height, crop.width) == (40, 53)


def test_each_frame_is_distorted_in_its_own_way():
    steps = draw_steps(Augmentation(crop_resize_short=[]), (48, 64), 8, 48, 64, np.random.default_rng(0))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    seen = {move_frame(steps, image, position).tobytes() for position in range(8)}
    assert len(seen) == 8
