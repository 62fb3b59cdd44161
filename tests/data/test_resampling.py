"""Frames resampled with less work show what the steps as they were drawn show."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vistr.data.resampling import Window, frame_steps, reduced_size
from vistr.data.settings import Augmentation
from vistr.data.transforms import (
    Flip,
    Resize,
    ResizedCrop,
    Step,
    draw_steps,
    move_frame,
)

SIZE = (90, 160)
RECIPE = Augmentation(
    resize_short=[60, 72, 84],
    resize_long=140,
    crop_resize_short=[50, 60, 75],
    crop_min=40,
    crop_max=70,
    photometric=False,
)


def picture(size: tuple[int, int] = SIZE) -> Image.Image:
    """A smooth picture, different everywhere."""
    coarse = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)


def difference(steps: list[Step], position: int = 0) -> np.ndarray:
    """Levels by which the frame differs from that of the steps one by one, away from nothing: borders too."""
    exact, fast = (np.asarray(move_frame(some, picture(), position), int) for some in (steps, frame_steps(steps)))
    assert exact.shape == fast.shape
    return np.abs(exact - fast)


@pytest.mark.parametrize("seed", range(12))
def test_frames_show_the_same_place(seed: int) -> None:
    steps = draw_steps(RECIPE, SIZE, 1, 30, 60, np.random.default_rng(seed))
    off = difference(steps)
    assert off.mean() < 1.5
    # Of frames that are shifted by a single pixel of the result:
    exact = np.asarray(move_frame(steps, picture(), 0), int)
    assert off.mean() < 0.5 * np.abs(exact[:, 1:] - exact[:, :-1]).mean()


@pytest.mark.parametrize("seed", range(6))
def test_without_the_last_resize_nothing_differs_but_rounding(seed: int) -> None:
    steps = draw_steps(RECIPE, SIZE, 1, 30, 60, np.random.default_rng(seed))[:-1]
    off = difference(steps)
    assert off.max() <= 2  # two resizes, each rounded
    assert off.mean() < 0.3


@pytest.mark.parametrize("seed", range(6))
def test_distortions_are_those_of_the_frame(seed: int) -> None:
    augmentation = Augmentation(resize_short=[60], resize_long=140, crop_resize_short=[])
    steps = draw_steps(augmentation, SIZE, 3, 60, 140, np.random.default_rng(seed))
    for position in range(3):
        assert difference(steps, position).max() <= 3


def test_only_what_is_shown_is_computed() -> None:
    crop = ResizedCrop(Resize((80, 120), (100, 150)), 20, 30, 40, 50)
    first, last = frame_steps([Resize((160, 240), (80, 120)), crop, Resize((40, 50), (20, 25))])
    assert isinstance(first, Window)
    assert isinstance(last, Window)
    assert first.after == last.before
    # 40x50 of 100x150 are 32x40 of 80x120, and what the filter reads beside them.
    assert 32 < first.after[0] <= 32 + 8
    assert 40 < first.after[1] <= 40 + 8
    assert last.after == (20, 25)


def test_the_flip_comes_last() -> None:
    steps = [Flip(160), Resize(SIZE, (45, 80)), ResizedCrop(Resize((45, 80), (60, 107)), 5, 20, 40, 60)]
    assert isinstance(frame_steps(steps)[-1], Flip)
    assert difference(steps).max() <= 1


@pytest.mark.parametrize(
    ("after", "expected"), [((45, 80), (45, 80)), ((30, 53), (30, 53)), ((46, 80), None), ((90, 160), None)]
)
def test_frames_are_decoded_at_a_fraction_where_the_first_resize_halves(
    after: tuple[int, int], expected: tuple[int, int] | None
) -> None:
    assert reduced_size([Flip(160), Resize(SIZE, after), Resize(after, (20, 36))]) == expected
    assert reduced_size([]) is None


def test_a_frame_decoded_at_a_fraction_shows_the_same_place() -> None:
    steps = draw_steps(RECIPE, SIZE, 1, 30, 60, np.random.default_rng(3))
    whole, half = picture(), picture().reduce(2)
    frames = [np.asarray(move_frame(frame_steps(steps), image, 0), int) for image in (whole, half)]
    assert np.abs(frames[0] - frames[1]).mean() < 2
