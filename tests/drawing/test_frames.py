"""Frames drawn with what was found in them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vistr.data.segmentation import encode
from vistr.drawing.frames import Sheet, Shown, draw, draw_shown
from vistr.drawing.overlays import track_color
from vistr.inference.predictor import FrameTrack, FrameTracks

HEIGHT, WIDTH = 240, 320


def grey(value: int = 100) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


def code(top: int, left: int, side: int = 60) -> object:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + side, left : left + side] = True
    return encode(mask)


def tinted(color: tuple[int, int, int]) -> np.ndarray:
    return 100 + 0.45 * (np.array(color) - 100)


@pytest.mark.parametrize("image", [grey(), Image.fromarray(grey())])
def test_a_frame_of_a_stream_is_drawn_with_its_tracks(image: object) -> None:
    tracks = (FrameTrack(0, 1, "cat", 0.5, code(150, 20)), FrameTrack(7, 1, "cat", 0.8, code(150, 220)))  # type: ignore[arg-type]
    drawn = draw(FrameTracks(3, image, tracks)).astype(float)  # type: ignore[arg-type]
    assert drawn.shape == (HEIGHT, WIDTH, 3)
    for number, column in ((0, 50), (7, 250)):
        assert np.abs(drawn[195, column] - tinted(track_color(number))).max() < 2


def test_a_frame_that_was_let_go_cannot_be_drawn_on() -> None:
    with pytest.raises(ValueError, match="keep_images"):
        draw(FrameTracks(0, None, ()))


def test_a_frame_keeps_its_size_however_small() -> None:
    assert draw_shown(np.zeros((33, 47, 3), np.uint8), []).shape == (33, 47, 3)


def test_the_best_track_lies_on_top() -> None:
    both = [Shown(1, "cat", 0.9, code(150, 100)), Shown(2, "dog", 0.4, code(150, 100))]  # type: ignore[arg-type]
    for shown in (both, both[::-1]):
        middle = draw_shown(grey(), shown)[195, 130].astype(float)
        best, other = (np.abs(middle - track_color(number)).sum() for number in (1, 2))
        assert best < other


def test_masks_shrink_with_their_frame() -> None:
    shown = [Shown(4, "cat", 0.5, code(120, 160, 80))]  # type: ignore[arg-type]
    small = draw_shown(grey(), shown, width=160).astype(float)
    assert small.shape == (120, 160, 3)
    assert np.abs(small[80, 100] - tinted(track_color(4))).max() < 2
    assert draw_shown(grey(), shown, width=1000).shape == (HEIGHT, WIDTH, 3)


def test_a_sheet_takes_frames_from_the_first_to_the_last_as_they_pass() -> None:
    sheet = Sheet(100)
    for index in range(100):
        sheet.offer(index, grey(index), [])
    assert sheet._numbers == [0, 20, 40, 59, 79, 99]
    picture = sheet.picture("found")
    for value in (20, 40, 59, 79, 99):
        assert (picture == value).all(-1).sum() >= 2 * HEIGHT * WIDTH
    alone = Sheet(1)
    alone.offer(0, grey(), [])
    assert alone.picture("found").ndim == 3
