"""Augmentations as a list of drawn steps, each moving frames, boxes and masks alike.

The steps are drawn once a clip and then applied to one frame at a time, so that only one frame is ever held
at its full size. Masks are never resized step by step: the steps are followed for the rows and columns of
the pixels instead, and each mask is sampled once (nearest pixel), at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vistr.data.photometric import Distortion, distort, draw_distortion
from vistr.data.settings import Augmentation

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

FloatArray = NDArray[np.float64]
Pixels = NDArray[np.int64]


class FrameStep(Protocol):
    """One change of a clip's frames."""

    def frame(self, image: Image.Image, position: int) -> Image.Image:
        """The changed image of the frame at `position` in the clip."""


class Step(FrameStep, Protocol):
    """One change of a whole clip."""

    def boxes(self, boxes: FloatArray) -> FloatArray:
        """Boxes [..., 4] as (left, top, right, bottom) in pixels, moved along."""

    def pixels(self, rows: Pixels, columns: Pixels) -> tuple[Pixels, Pixels]:
        """Which rows and columns of the first image the changed image shows, given those shown before."""


@dataclass(frozen=True)
class Flip:
    width: int

    def frame(self, image: Image.Image, position: int) -> Image.Image:
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    def boxes(self, boxes: FloatArray) -> FloatArray:
        left, top, right, bottom = np.moveaxis(boxes, -1, 0)
        return np.stack([self.width - right, top, self.width - left, bottom], axis=-1)

    def pixels(self, rows: Pixels, columns: Pixels) -> tuple[Pixels, Pixels]:
        return rows, columns[::-1]


@dataclass(frozen=True)
class Resize:
    """From (height, width) to (height, width); frames bilinear with antialiasing, as the original."""

    before: tuple[int, int]
    after: tuple[int, int]

    def frame(self, image: Image.Image, position: int) -> Image.Image:
        return image.resize(self.after[::-1], Image.Resampling.BILINEAR)

    def boxes(self, boxes: FloatArray) -> FloatArray:
        ratio_y, ratio_x = (after / before for after, before in zip(self.after, self.before, strict=True))
        return boxes * np.array([ratio_x, ratio_y, ratio_x, ratio_y], np.float64)

    def pixels(self, rows: Pixels, columns: Pixels) -> tuple[Pixels, Pixels]:
        # Pixel centres meet, as in frames and boxes; the original's masks lag by up to half a pixel.
        row, column = (
            (2 * np.arange(after) + 1) * before // (2 * after)
            for before, after in zip(self.before, self.after, strict=True)
        )
        return rows[row], columns[column]


@dataclass(frozen=True)
class ResizedCrop:
    """A resize of which only a region is kept: only that region is computed."""

    resize: Resize
    top: int
    left: int
    height: int
    width: int

    def frame(self, image: Image.Image, position: int) -> Image.Image:
        down, across = (before / after for before, after in zip(self.resize.before, self.resize.after, strict=True))
        region = (
            self.left * across,
            self.top * down,
            min((self.left + self.width) * across, image.width),
            min((self.top + self.height) * down, image.height),
        )
        return image.resize((self.width, self.height), Image.Resampling.BILINEAR, box=region)

    def boxes(self, boxes: FloatArray) -> FloatArray:
        moved = self.resize.boxes(boxes) - np.array([self.left, self.top, self.left, self.top])
        clipped: FloatArray = np.clip(moved, 0, [self.width, self.height, self.width, self.height])
        return clipped

    def pixels(self, rows: Pixels, columns: Pixels) -> tuple[Pixels, Pixels]:
        rows, columns = self.resize.pixels(rows, columns)
        return rows[self.top : self.top + self.height], columns[self.left : self.left + self.width]


@dataclass(frozen=True)
class Distort:
    """Photometric distortion, drawn for each frame by itself as the original does."""

    distortions: tuple[Distortion, ...]

    def frame(self, image: Image.Image, position: int) -> Image.Image:
        return Image.fromarray(distort(np.asarray(image), self.distortions[position]))

    def boxes(self, boxes: FloatArray) -> FloatArray:
        return boxes

    def pixels(self, rows: Pixels, columns: Pixels) -> tuple[Pixels, Pixels]:
        return rows, columns


def resized(height: int, width: int, short_side: int, long_side: int | None = None) -> tuple[int, int]:
    """(height, width) with the short side at `short_side`, less where the long side would pass `long_side`.

    The original's rule: a limited short side is rounded, the long side's fraction cut off.
    """
    short, long = sorted((height, width))
    if long_side is not None and long / short * short_side > long_side:
        short_side = max(round(long_side * short / long), 1)
    if short == short_side:
        return height, width
    if width < height:
        return int(short_side * height / width), short_side
    return short_side, int(short_side * width / height)


def draw_steps(
    augmentation: Augmentation | None,
    size: tuple[int, int],
    num_frames: int,
    short_side: int,
    long_side: int,
    rng: np.random.Generator,
) -> list[Step]:
    """The steps for one clip of frames of `size` (height, width); the last resizes to short_side / long_side,
    the only one with no augmentation (evaluation)."""
    steps: list[Step] = []
    if augmentation is not None:
        if rng.random() < augmentation.flip:
            steps.append(Flip(size[1]))
        if augmentation.resize_short:
            after = resized(*size, int(rng.choice(augmentation.resize_short)), augmentation.resize_long)
            steps.append(Resize(size, after))
            size = after
        if augmentation.photometric:
            steps.append(Distort(tuple(draw_distortion(rng) for _ in range(num_frames))))
        if augmentation.crop_resize_short:
            crop = draw_crop(augmentation, size, rng)
            steps.append(crop)
            size = (crop.height, crop.width)
    steps.append(Resize(size, resized(*size, short_side, long_side)))
    return steps


def draw_crop(augmentation: Augmentation, size: tuple[int, int], rng: np.random.Generator) -> ResizedCrop:
    """A random part of a frame of `size` (height, width)."""
    after = resized(*size, int(rng.choice(augmentation.crop_resize_short)))

    def length(side: int) -> int:
        most = min(side, augmentation.crop_max)
        return int(rng.integers(min(augmentation.crop_min, most), most, endpoint=True))

    width, height = length(after[1]), length(after[0])
    top, left = (int(rng.integers(room, endpoint=True)) for room in (after[0] - height, after[1] - width))
    return ResizedCrop(Resize(size, after), top, left, height, width)


def move_frame(steps: Sequence[FrameStep], image: Image.Image, position: int) -> Image.Image:
    """The image of the frame at `position` in the clip after all steps."""
    for step in steps:
        image = step.frame(image, position)
    return image


def move_boxes(steps: Sequence[Step], boxes: FloatArray) -> FloatArray:
    """Boxes [..., 4] (left, top, right, bottom) in pixels after all steps."""
    for step in steps:
        boxes = step.boxes(boxes)
    return boxes


def shown_pixels(steps: Sequence[Step], height: int, width: int) -> tuple[Pixels, Pixels]:
    """Rows and columns of the video's frame that the final one shows: its mask is mask[rows][:, columns]."""
    rows, columns = np.arange(height), np.arange(width)
    for step in steps:
        rows, columns = step.pixels(rows, columns)
    return rows, columns
