"""Tracks drawn over frames, and contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from vistr.drawing.overlays import contact_sheet, draw_tracks, enlargement, track_color


def grey(height: int, width: int, value: int = 100) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def square(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[height // 2 : 3 * height // 4, width // 3 : 2 * width // 3] = 1
    return mask


def test_a_small_frame_is_enlarged_until_text_can_be_read() -> None:
    assert draw_tracks(grey(96, 160), []).shape == (192, 320, 3)
    assert draw_tracks(grey(360, 640), []).shape == (360, 640, 3)
    assert enlargement(40, 30) == 6


@pytest.mark.parametrize("size", [(8, 2000), (2000, 8), (1, 1), (4, 400)])
def test_a_frame_of_any_shape_keeps_a_size_that_can_be_looked_at(size: tuple[int, int]) -> None:
    drawn = draw_tracks(grey(*size), [square(*size)], labels=["a long name"], scores=[0.5])
    assert max(drawn.shape) <= max(1440, *size)
    sheet = contact_sheet([("truth", [grey(*size)] * 3), ("found", [drawn])])
    assert max(sheet.shape) < 13_000


def test_a_mask_is_tinted_and_outlined_in_its_tracks_color_and_the_rest_is_left_alone() -> None:
    mask = square(300, 400)
    drawn = draw_tracks(grey(300, 400), [mask], track_ids=[4]).astype(float)
    color = np.array(track_color(4))
    assert np.abs(drawn[185, 200] - (100 + 0.45 * (color - 100))).max() < 2
    assert np.abs(drawn[150, 140] - color).max() < 2  # the outline, left of the tag
    away = np.ones_like(mask, bool)
    away[115:230, 120:280] = False  # mask, line and tag
    assert np.all(drawn[away] == 100)


def test_the_mask_does_not_move_when_it_is_enlarged() -> None:
    mask = square(96, 160)
    drawn = draw_tracks(grey(96, 160), [mask], labels=["x"], track_ids=[0])
    red = drawn[..., 0].astype(int) - drawn[..., 1] > 30
    rows = np.flatnonzero(red[:, 2 * 56])  # a column beside the tag
    assert abs(rows[0] - 2 * 48) <= 1
    assert abs(rows[-1] - (2 * 72 - 1)) <= 1


def test_an_absent_track_draws_nothing() -> None:
    frame = grey(200, 300)
    drawn = draw_tracks(frame, [None, np.zeros((200, 300), bool)], labels=["cat", "dog"], scores=[0.9, 0.8])
    assert np.array_equal(drawn, frame)


def test_a_tag_shows_name_and_score() -> None:
    mask = square(200, 300)
    plain = draw_tracks(grey(200, 300), [mask])
    named = draw_tracks(grey(200, 300), [mask], labels=["cat"])
    scored = draw_tracks(grey(200, 300), [mask], labels=["cat"], scores=[0.87])
    widths = [np.ptp(np.flatnonzero((d[85] != 100).any(axis=1))) for d in (plain, named, scored)]
    assert widths[0] < widths[1] < widths[2]


def test_tags_stay_inside_the_frame_and_apart() -> None:
    mask = np.zeros((200, 300), np.uint8)
    mask[:40, :30] = 1
    drawn = draw_tracks(grey(200, 300), [mask, mask], labels=["long category name"] * 2, track_ids=[0, 1])
    for track_id in (0, 1):
        tag = np.all(np.abs(drawn.astype(int) - track_color(track_id)) < 3, axis=-1)
        assert tag[:, 60:].sum() > 500


def test_the_frame_given_is_not_changed() -> None:
    frame = grey(200, 300)
    draw_tracks(frame, [square(200, 300)])
    assert np.all(frame == 100)


def test_a_tracks_color_is_stable_and_unlike_its_neighbours() -> None:
    colors = np.array([track_color(k) for k in range(30)])
    assert len(np.unique(colors, axis=0)) == 30
    distances = np.abs(colors[:10, None] - colors[None, :10]).sum(axis=-1) + 1000 * np.eye(10)
    assert distances.min() > 75
    assert track_color(3) == track_color(33)


def test_masks_of_another_size_and_lists_of_other_lengths_are_errors() -> None:
    with pytest.raises(ValueError, match="mask of size"):
        draw_tracks(grey(200, 300), [square(100, 300)])
    with pytest.raises(ValueError, match="argument 3 is"):
        draw_tracks(grey(200, 300), [square(200, 300)], scores=[0.1, 0.2])


def test_a_sheet_puts_the_same_frame_of_all_rows_in_one_column() -> None:
    raw = [grey(96, 160, 40 + 10 * k) for k in range(12)]
    sheet = contact_sheet([("truth", raw), ("predicted", [draw_tracks(frame, []) for frame in raw])])
    values = [40, 60, 80, 110, 130, 150]
    columns = [np.flatnonzero((sheet == value).all(axis=-1).sum(axis=0) >= 2 * 192) for value in values]
    assert all(len(column) == 320 for column in columns)  # both rows, the whole width
    assert [column[0] for column in columns] == sorted(column[0] for column in columns)


def test_a_sheet_takes_rows_of_different_lengths_and_frames_of_different_sizes() -> None:
    sheet = contact_sheet([("a", [grey(200, 300)] * 3), ("b", [grey(240, 200, 180)])], max_columns=5)
    assert (sheet == 100).all(axis=-1).sum() == 3 * 200 * 300
    assert (sheet == 180).all(axis=-1).sum() == 240 * 200


def test_titles_and_frame_numbers_are_written() -> None:
    rows = [("truth", [grey(200, 300)] * 2)]
    assert not np.array_equal(contact_sheet(rows), contact_sheet([("other", rows[0][1])]))
    assert not np.array_equal(contact_sheet(rows), contact_sheet(rows, frame_numbers=[17, 23]))


def test_an_empty_sheet_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        contact_sheet([("truth", [])])
