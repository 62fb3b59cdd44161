"""Frames as images: the same from bytes as from normalised frames, on either device."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor

from vistr.data.transforms import MEAN, STD
from vistr.models.pixels import make_images, normalised

pytestmark = pytest.mark.usefixtures("cpu")


def clip() -> tuple[np.ndarray, np.ndarray]:
    """Two clips of two frames of 6x8, the second clip of 4x5 in them."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 2, 6, 8, 3), np.uint8)
    padding = np.zeros((2, 2, 6, 8), bool)
    padding[1, :, 4:], padding[1, :, :, 5:] = True, True
    return frames, padding


def by_hand(frames: np.ndarray, padding: np.ndarray) -> np.ndarray:
    values = (frames / 255 - np.array(MEAN)) / np.array(STD)
    return np.where(padding[..., None], 0, values)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_bytes_become_what_normalised_frames_are(dtype: type[np.floating]) -> None:
    frames, padding = clip()
    expected = by_hand(frames, padding)
    images = make_images(frames, padding, dtype).asnumpy()
    assert images.shape == (4, 6, 8, 3)
    assert images.dtype == dtype
    np.testing.assert_allclose(images.reshape(expected.shape), expected, atol=2e-6 if dtype is np.float32 else 2e-3)
    given = make_images(expected.transpose(0, 1, 4, 2, 3).astype(np.float32), padding, dtype).asnumpy()
    np.testing.assert_allclose(images, given, atol=2e-6 if dtype is np.float32 else 2e-3)
    assert not images.reshape(expected.shape)[padding].any()


def test_a_gpus_way_gives_the_same() -> None:
    frames, padding = clip()
    rows, columns = (1 - padding[:, :1, :, :1, None]), (1 - padding[:, :1, :1, :, None])
    sides = (Tensor(side.astype(np.float32)) for side in (rows, columns))
    images = normalised(Tensor(frames), *sides).asnumpy()
    np.testing.assert_allclose(
        images, make_images(frames, padding, np.float32).asnumpy().reshape(images.shape), atol=1e-6
    )
