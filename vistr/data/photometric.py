"""Photometric distortion of one frame, in NumPy alone: the hottest part of loading a training clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

# Pixels worked on at once: seven float32 planes of this many fit a core's own cache.
_BLOCK = 1 << 15
_CHANNEL_ORDERS = tuple(permutations(range(3)))


@dataclass(frozen=True)
class Distortion:
    """Photometric change of one frame: `brightness` is added (of 255); `contrast` multiplies all channels, either
    before the saturation is multiplied and the hue turned by degrees, or after; channels are reordered.
    """

    brightness: float = 0.0
    contrast: float = 1.0
    contrast_last: bool = False
    saturation: float = 1.0
    hue: float = 0.0
    channels: tuple[int, ...] = (0, 1, 2)


def draw_distortion(rng: np.random.Generator) -> Distortion:
    """The original's recipe: brightness +-32, contrast and saturation 0.5 to 1.5, hue +-18 degrees and a
    channel order, each with probability 1/2; contrast comes first or last with equal probability."""

    def maybe(low: float, high: float, otherwise: float) -> float:
        return float(rng.uniform(low, high)) if rng.random() < 0.5 else otherwise

    return Distortion(
        brightness=maybe(-32, 32, 0.0),
        contrast=maybe(0.5, 1.5, 1.0),
        contrast_last=bool(rng.random() < 0.5),
        saturation=maybe(0.5, 1.5, 1.0),
        hue=maybe(-18, 18, 0.0),
        channels=_CHANNEL_ORDERS[rng.integers(6)] if rng.random() < 0.5 else (0, 1, 2),
    )


def distort(pixels: NDArray[np.uint8], distortion: Distortion) -> NDArray[np.uint8]:
    """Distorted pixels [height, width, 3] RGB; values stop at 0 and 255 (in the original they wrap round)."""
    if not distortion.hue and distortion.saturation == 1:
        # A channel's value depends on nothing else: a table of 256 says it.
        values = np.arange(256, dtype=np.uint8).reshape(256, 1, 1).repeat(3, axis=2)
        table = _distorted(values, replace(distortion, channels=(0, 1, 2)))[..., 0].tobytes()
        changed = np.frombuffer(pixels.tobytes().translate(table), np.uint8).reshape(pixels.shape)
        if distortion.channels == (0, 1, 2):
            return changed
        return np.stack([changed[..., origin] for origin in distortion.channels], axis=-1)
    return _distorted(pixels, distortion)


def _distorted(pixels: NDArray[np.uint8], distortion: Distortion) -> NDArray[np.uint8]:
    source = pixels.reshape(-1, 3)
    result = np.empty_like(source)
    for start in range(0, len(source), _BLOCK):
        planes = source[start : start + _BLOCK].T.astype(np.float32, order="C")
        planes += np.float32(distortion.brightness)
        if not distortion.contrast_last:
            planes *= np.float32(distortion.contrast)
        if distortion.hue:
            _turn_hue(planes, distortion.hue, distortion.saturation)
        elif distortion.saturation != 1:
            _saturate(planes, distortion.saturation)
        if distortion.contrast_last:
            planes *= np.float32(distortion.contrast)
        np.clip(np.rint(planes, out=planes), 0, 255, out=planes)
        for channel, origin in enumerate(distortion.channels):
            result[start : start + _BLOCK, channel] = planes[origin]
    return result.reshape(pixels.shape)


def _saturate(planes: NDArray[np.float32], factor: float) -> None:
    """HSV with S multiplied and H and V kept: every channel's distance from the largest is multiplied."""
    value = planes.max(axis=0)
    planes -= value
    planes *= np.float32(factor)
    planes += value


def _turn_hue(planes: NDArray[np.float32], degrees: float, saturation: float) -> None:
    """To HSV (H in sixths of the circle, 0 at red), H turned, S multiplied, and back, in place."""
    red, green, blue = planes
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    per_chroma = 1 / np.maximum(chroma, np.float32(1e-6))
    hue = (green - blue) * per_chroma
    np.copyto(hue, (blue - red) * per_chroma + np.float32(2), where=green == value)
    np.copyto(hue, (red - green) * per_chroma + np.float32(4), where=blue == value)
    hue += np.float32(degrees / 60)
    hue -= np.floor(hue * np.float32(1 / 6)) * np.float32(6)
    chroma *= np.float32(saturation)
    # A channel's distance below V over the chroma is a trapezium of the hue around the channel's own.
    red[:] = np.float32(2) - np.abs(hue - np.float32(3))
    green[:] = np.abs(hue - np.float32(2)) - np.float32(1)
    blue[:] = np.abs(hue - np.float32(4)) - np.float32(1)
    np.clip(planes, 0, 1, out=planes)
    planes *= -chroma
    planes += value
