"""The position code and the padding it counts around."""

from __future__ import annotations

import numpy as np

from vistr.models.position import padding_of_map, position_code


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


def test_a_stride_that_the_picture_has_begun_is_none_of_the_padding() -> None:
    small = padding_of_map(np.array([[64, 97], [33, 160]]), 32, 2, 3, 5)
    assert small.shape == (2, 2, 3, 5)
    assert (small[:, 0] == small[:, 1]).all()
    assert (~small[0, 0]).sum() == 2 * 4
    assert not small[0, 0, :2, :4].any()
    assert not small[1, 0, :2].any()
    assert small[1, 0, 2].all()
