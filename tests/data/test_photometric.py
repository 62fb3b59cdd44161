"""Photometric distortion against the standard library's HSV."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from vistr.data import photometric
from vistr.data.photometric import Distortion, distort, draw_distortion

COLOURS = np.array([[0, 0, 0], [255, 255, 255], [77, 77, 77], [200, 200, 10], [200, 10, 200], [10, 200, 200]])


@pytest.fixture
def pixels() -> np.ndarray:
    random = np.random.default_rng(0).integers(0, 256, (20, 30, 3))
    random[0, : len(COLOURS)] = COLOURS
    return random.astype(np.uint8)


def by_hand(pixel: np.ndarray, distortion: Distortion) -> np.ndarray:
    colour = pixel.astype(float) + distortion.brightness
    if not distortion.contrast_last:
        colour *= distortion.contrast
    # colorsys takes any scale as long as nothing is negative.
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    colour = np.array(colorsys.hsv_to_rgb((hue + distortion.hue / 360) % 1, saturation * distortion.saturation, value))
    if distortion.contrast_last:
        colour *= distortion.contrast
    return np.clip(colour, 0, 255)[list(distortion.channels)]


@pytest.mark.parametrize(
    "distortion",
    [
        Distortion(brightness=20),
        Distortion(contrast=0.6),
        Distortion(contrast=1.4, contrast_last=True),
        Distortion(saturation=0.5),
        Distortion(saturation=1.5),
        Distortion(hue=18),
        Distortion(hue=-18),
        Distortion(channels=(2, 0, 1)),
        Distortion(12, 1.3, True, 1.4, -9, (1, 0, 2)),
        Distortion(30, 0.7, False, 0.6, 14, (0, 2, 1)),
    ],
)
def test_pixels_are_those_of_the_hsv_formulas(pixels, distortion, monkeypatch):
    monkeypatch.setattr(photometric, "_BLOCK", 128)
    before = pixels.copy()
    expected = np.array([[by_hand(pixel, distortion) for pixel in row] for row in pixels])
    result = distort(pixels, distortion)
    assert result.dtype == np.uint8
    assert np.abs(result - expected).max() <= 0.51
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("channels", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize(
    "values", [{}, {"brightness": -20.5}, {"contrast": 1.3, "brightness": 9, "contrast_last": True}]
)
def test_a_table_of_values_gives_what_computing_every_pixel_gives(pixels, values, channels):
    distortion = Distortion(channels=channels, **values)
    np.testing.assert_array_equal(distort(pixels, distortion), photometric._distorted(pixels, distortion))


def test_no_distortion_changes_nothing(pixels):
    np.testing.assert_array_equal(distort(pixels, Distortion()), pixels)


def test_values_stop_at_black_and_white():
    assert distort(np.full((1, 1, 3), 250, np.uint8), Distortion(brightness=32)).tolist() == [[[255] * 3]]
    assert distort(np.full((1, 1, 3), 5, np.uint8), Distortion(brightness=-32)).tolist() == [[[0] * 3]]


def test_each_change_is_drawn_half_of_the_time_within_its_range():
    rng = np.random.default_rng(0)
    drawn = [draw_distortion(rng) for _ in range(2000)]
    for name, neutral, low, high in [
        ("brightness", 0, -32, 32),
        ("contrast", 1, 0.5, 1.5),
        ("saturation", 1, 0.5, 1.5),
        ("hue", 0, -18, 18),
    ]:
        changes = [getattr(each, name) for each in drawn if getattr(each, name) != neutral]
        assert 0.45 < len(changes) / len(drawn) < 0.55
        assert low <= min(changes) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(changes) <= high
    assert 0.45 < np.mean([each.contrast_last for each in drawn]) < 0.55
    # One order in six leaves the channels as they are.
    assert 0.37 < np.mean([each.channels != (0, 1, 2) for each in drawn]) < 0.47
    assert len({each.channels for each in drawn}) == 6
