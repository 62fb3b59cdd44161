"""The position code and the padding it counts around."""

from __future__ import annotations

import numpy as np

from vistr.models.position import position_code, shrink_padding


def test_frames_rows_and_columns_have_a_third_of_the_channels_each() -> None:
    code = position_code(np.zeros((1, 2, 3, 5), bool), 12).reshape(2, 3, 5, 3, 4)
    for axis, length in enumerate((2, 3, 5)):
        for place in range(length):
            angle = 2 * np.pi * (place + 1) / length
            expected = [np.sin(angle), np.cos(angle), np.sin(angle / 100), np.cos(angle / 100)]
            found = np.take(code[..., axis, :], place, axis)
            np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-5)


def test_padding_is_not_counted() -> None:
    padding = np.ones((2, 2, 4, 6), bool)
    padding[0, :, :3, :5] = False
    padding[1] = False
    codes = position_code(padding, 12).reshape(2, 2, 4, 6, 12)
    alone = position_code(np.zeros((1, 2, 3, 5), bool), 12).reshape(2, 3, 5, 12)
    np.testing.assert_array_equal(codes[0, :, :3, :5], alone)
    whole = position_code(np.zeros((1, 2, 4, 6), bool), 12).reshape(2, 4, 6, 12)
    np.testing.assert_array_equal(codes[1], whole)


def test_a_small_map_takes_the_nearest_pixels_padding() -> None:
    padding = np.zeros((1, 1, 5, 7), bool)
    padding[..., 4:, :] = padding[..., 5:] = True
    small = shrink_padding(padding, 2, 3)[0, 0]
    # rows 0 and 2, columns 0, 2 and 4 of the large map
    assert not small.any()
    assert shrink_padding(padding, 5, 7).tolist() == padding.tolist()
    padding[..., 4] = True
    assert shrink_padding(padding, 2, 3)[0, 0].tolist() == [[False, False, True]] * 2
