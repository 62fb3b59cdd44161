"""The few sizes that clips are padded to on a GPU hold every clip that can come."""

from __future__ import annotations

import numpy as np
import pytest

from vistr.data.buckets import few_sizes, padded_size, sizes_met
from vistr.data.settings import Augmentation
from vistr.data.transforms import draw_steps, shown_pixels

PAPER = Augmentation()
NO_CROP = Augmentation(crop_resize_short=[])


@pytest.mark.parametrize(
    ("augmentation", "sides", "expected"),
    [
        (PAPER, (300, 540), [(320, 320), (320, 480), (480, 320)]),
        (PAPER, (280, 504), [(288, 288), (288, 448), (448, 288)]),
        (NO_CROP, (300, 540), [(320, 320), (320, 544), (544, 320)]),
        (None, (300, None), [(320, 320), (320, 544), (544, 320)]),
        (None, (96, 96), [(96, 96)]),
    ],
)
def test_at_most_three_sizes(
    augmentation: Augmentation | None, sides: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    assert list(few_sizes(augmentation, *sides, 32)) == expected


@pytest.mark.parametrize("augmentation", [PAPER, NO_CROP, None])
@pytest.mark.parametrize("size", [(720, 1280), (480, 640), (1280, 720), (500, 500), (360, 640)])
def test_every_clip_fits_and_its_size_is_foreseen(augmentation: Augmentation | None, size: tuple[int, int]) -> None:
    sizes = few_sizes(augmentation, 300, 540, 32)
    foreseen = sizes_met([size], augmentation, 300, 540, 32, sizes)
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows, columns = shown_pixels(draw_steps(augmentation, size, 1, 300, 540, rng), *size)
        met = padded_size(len(rows), len(columns), 32, sizes)
        assert met in sizes
        assert met in foreseen


def test_the_smallest_size_that_holds_a_clip_is_taken() -> None:
    sizes = few_sizes(PAPER, 300, 540, 32)
    assert padded_size(300, 300, 32, sizes) == (320, 320)
    assert padded_size(300, 321, 32, sizes) == (320, 480)
    assert padded_size(330, 300, 32, sizes) == (480, 320)
    # No size holds these: multiples, as on a CPU.
    assert padded_size(300, 533, 32, sizes) == (320, 544)
    assert padded_size(300, 533, 32) == (320, 544)


def test_videos_that_are_only_resized_have_one_size_each() -> None:
    sizes = few_sizes(None, 300, 540, 32)
    assert sizes_met([(720, 1280), (1080, 1920)], None, 300, 540, 32, sizes) == [(320, 544)]
    assert sizes_met([(720, 1280), (480, 480)], None, 300, 540, 32, ()) == [(320, 544), (320, 320)]
