"""Resizing against the definition of a resize, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from tests.numeric import assert_like, random
from vistr.layers.resize import resize_bilinear, resize_nearest

pytestmark = pytest.mark.usefixtures("cpu")

SIZES = [(6, 8), (7, 11), (3, 5), (2, 3), (1, 1)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_nearest_takes_the_pixel_whose_share_begins_before(height: int, width: int) -> None:
    def reference(x: np.ndarray) -> np.ndarray:
        rows = [row * 3 // height for row in range(height)]
        columns = [column * 4 // width for column in range(width)]
        return x[:, rows][:, :, columns]

    assert_like(lambda x: resize_nearest(x, height, width), reference, random(0, 2, 3, 4, 5))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_bilinear_weighs_the_pixels_around_the_centre(height: int, width: int) -> None:
    def reference(x: np.ndarray) -> np.ndarray:
        out = np.zeros((2, height, width))
        for row, column in np.ndindex(height, width):
            y = min(max((row + 0.5) * 3 / height - 0.5, 0), 2)
            z = min(max((column + 0.5) * 4 / width - 0.5, 0), 3)
            for source_row, source_column in np.ndindex(3, 4):
                share = max(0, 1 - abs(y - source_row)) * max(0, 1 - abs(z - source_column))
                out[:, row, column] += share * x[:, source_row, source_column]
        return out

    assert_like(lambda x: resize_bilinear(x, height, width), reference, random(0, 2, 3, 4))
