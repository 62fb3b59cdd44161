"""Frames as they come, 8 bits a colour or normalised already, as the images that the network reads."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from numpy.typing import NDArray

from vistr.data.transforms import MEAN, STD
from vistr.runtime.graph import Graph

# value * SCALE - SHIFT is the normalised value of a pixel of 0 to 255.
SCALE = np.array([1 / (255 * std) for std in STD], np.float32)
SHIFT = np.array([mean / std for mean, std in zip(MEAN, STD, strict=True)], np.float32)


def make_images(frames: NDArray[Any], padding: NDArray[np.bool_], dtype: type[np.floating]) -> Tensor:
    """Images `[B*T, H, W, 3]` in `dtype`, of uint8 frames `[B, T, H, W, 3]` or normalised ones `[B, T, 3, H, W]`.

    A GPU is sent bytes and normalises them itself. Where there is padding, below and at the right and the same in
    every frame of a clip, images are 0.
    """
    batch, num_frames, height, width = padding.shape
    shape = (batch * num_frames, height, width, 3)
    if frames.dtype != np.uint8:
        images = np.array(frames.transpose(0, 1, 3, 4, 2), dtype, order="C")
        return Tensor(_without_padding(images, padding).reshape(shape))
    if ms.get_context("device_target") == "GPU":
        rows, columns = ~padding[:, :1, :, :1, None], ~padding[:, :1, :1, :, None]
        inside = [Tensor(side.astype(np.float32)) for side in (rows, columns)]
        return (
            _normalise(Tensor(frames), *inside).astype(ms.float16 if dtype is np.float16 else ms.float32).reshape(shape)
        )
    # Row by row of the picture: NumPy is slow where the last axis has a length of three.
    images = np.multiply(frames.reshape(*shape[:2], -1), np.tile(SCALE, width), dtype=np.float32)
    images -= np.tile(SHIFT, width)
    images = _without_padding(images.reshape(batch, num_frames, height, width, 3), padding)
    return Tensor(images.reshape(shape).astype(dtype, copy=False))


def _without_padding(images: NDArray[Any], padding: NDArray[np.bool_]) -> NDArray[Any]:
    for clip, mask in zip(images, padding[:, 0], strict=True):
        clip[:, mask[:, 0]] = 0
        clip[:, :, mask[0]] = 0
    return images


def normalised(frames: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """uint8 frames `[B, T, H, W, 3]` normalised, float32; rows `[B, 1, H, 1, 1]`, columns `[B, 1, 1, W, 1]`: 1 or 0."""
    values = ops.cast(frames, ms.float32) * Tensor(SCALE) - Tensor(SHIFT)
    return values * rows * columns


_normalise = Graph("the frames' pixels", normalised, quiet=True)
