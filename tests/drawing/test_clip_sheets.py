"""Sheets of training clips: the picture above, below it what the network is taught and what is left out of that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vistr.data.clips import ClipTargets
from vistr.data.segmentation import encode
from vistr.data.videos import Annotation, Category, Video, VideoSet
from vistr.drawing.clip_sheets import clip_sheet
from vistr.drawing.overlays import contact_sheet, draw_tracks

SIDE, BLUE, STRIPES, WHITE = 200, (20, 40, 200), {(70, 70, 78), (44, 44, 50)}, (235, 235, 235)


def drawn(tmp_path: Path, **changes: np.ndarray) -> tuple[set[tuple[int, ...]], np.ndarray]:
    """The colours of the sheet of a blue picture with one object, and the sheet."""
    Image.new("RGB", (SIDE, SIDE), BLUE).save(tmp_path / "1.png")
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[50:120, 60:140] = 1
    annotation = Annotation(1, 4, (encode(mask),), ((60, 50, 80, 70),), (None,), False)
    video = Video(9, SIDE, SIDE, ("1.png",), (annotation,))
    videos = VideoSet(tmp_path / "a.json", tmp_path, (Category(4, "box"),), (video,))
    targets = ClipTargets(
        labels=np.array([1]),
        boxes=np.full((1, 3, 4), 0.4, np.float32),
        valid=np.array([[True, True, False]]),
        masks=np.stack([mask, mask, 0 * mask])[None],
        video_id=9,
        frames=[0, 0, 0],
        size=(SIDE, SIDE),
        original_size=(SIDE, SIDE),
        **changes,
    )
    sheet = clip_sheet(np.full((3, SIDE, SIDE, 3), BLUE, np.uint8), targets, videos)
    return {tuple(colour) for colour in np.unique(sheet.reshape(-1, 3), axis=0).tolist()}, sheet


def test_the_picture_stands_above_the_frames_with_their_masks(tmp_path: Path) -> None:
    colours, sheet = drawn(tmp_path)
    frame, mask = np.full((SIDE, SIDE, 3), BLUE, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    mask[50:120, 60:140] = 1
    seen, empty = (draw_tracks(frame, [one], labels=["box"]) for one in (mask, None))
    rows = [("picture 9 as annotated", [seen]), (f"the clip, {SIDE}x{SIDE}", [seen, seen, empty])]
    np.testing.assert_array_equal(sheet, contact_sheet(rows, frame_numbers=[0, 1, 2]))
    assert not STRIPES & colours


def test_what_is_outside_is_striped_and_what_is_ignored_has_a_white_box(tmp_path: Path) -> None:
    outside = np.zeros((3, SIDE, SIDE), bool)
    outside[1, :30] = True
    ignored = np.zeros((1, 3, 4), np.float32)
    ignored[0, 2] = 0.5, 0.7, 0.4, 0.3
    plain, before = drawn(tmp_path)
    colours, sheet = drawn(tmp_path, outside=outside, ignored=ignored)
    assert colours >= STRIPES
    assert WHITE in colours - plain
    changed = (sheet != before).any(-1)
    assert changed.sum() < 30 * SIDE + 2 * 2 * (0.4 + 0.3) * SIDE + 50
