"""Clips made of single pictures: each moves smoothly, and its masks with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vistr.data.buckets import Size, padded_size
from vistr.data.clip_sources import Clip, ClipSource
from vistr.data.clips import ClipTargets
from vistr.data.motion import draw_pasted, draw_warp
from vistr.data.photometric import distort, draw_distortion
from vistr.data.samples import centred, open_frame
from vistr.data.segmentation import RLE
from vistr.data.settings import Augmentation, Motion
from vistr.data.videos import Annotation, Video, VideoSet
from vistr.data.warping import Warp

# ImageNet's mean, which the network takes for nothing: what is outside the picture looks like padding.
OUTSIDE = (124, 116, 104)


class Pasted(NamedTuple):
    """An object of another picture over the clip: its masks `[T, H, W]`, and the warped picture they are cut from."""

    annotation: Annotation
    prepared: Image.Image
    warp: Warp
    masks: NDArray[np.bool_]


class PictureClips(ClipSource):
    """One clip of every picture, a video of one frame, which `motion` moves.

    Of `augmentation` come the flip, the size of the window, which is the crop's, and the colours.
    """

    marks_outside = True

    def __init__(
        self,
        video_set: VideoSet,
        *,
        num_frames: int,
        augmentation: Augmentation,
        motion: Motion,
        short_side: int,
        long_side: int,
        size_divisor: int,
        sizes: tuple[Size, ...] = (),
    ) -> None:
        self.video_set, self.num_frames, self.augmentation, self.motion = video_set, num_frames, augmentation, motion
        self.short_side, self.long_side = short_side, long_side
        self.size_divisor, self.sizes = size_divisor, tuple(sizes)

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.video_set.videos)

    def padded_size(self, clip: int, epoch: int, rng: np.random.Generator) -> Size:
        """As `load` pads it."""
        return padded_size(*self._draw(self.video_set.videos[clip], rng).after, self.size_divisor, self.sizes)

    def load(self, clip: int, epoch: int, rng: np.random.Generator) -> Clip:
        """The clip: the picture is decoded once, it and its masks are warped for each frame."""
        video = self.video_set.videos[clip]
        warp = self._draw(video, rng)
        pasted = self._paste(clip, warp.after, rng) if rng.random() < self.motion.occlusion else None
        padded = padded_size(*warp.after, self.size_divisor, self.sizes)
        outside = warp.outside()
        if outside is not None and pasted is not None:
            outside &= ~pasted.masks
        frames = self._frames(clip, warp, pasted, outside, padded, rng)
        return frames, self._targets(video, warp, pasted, outside, padded)

    def _draw(self, video: Video, rng: np.random.Generator) -> Warp:
        sides = (self.short_side, self.long_side)
        return draw_warp(self.motion, self.augmentation, (video.height, video.width), self.num_frames, *sides, rng)

    def _paste(self, clip: int, after: Size, rng: np.random.Generator) -> Pasted | None:
        """An object of a picture that is drawn from all, None where it is this one or has no object to show."""
        other = int(rng.integers(len(self)))
        video = self.video_set.videos[other]
        objects = [annotation for annotation in video.annotations if not annotation.iscrowd]
        if other == clip or not objects:
            return None
        annotation = objects[int(rng.integers(len(objects)))]
        rle, box = annotation.segmentations[0], annotation.boxes[0]
        if rle is None or box is None:
            return None
        warp = draw_pasted(box, (video.height, video.width), after, self.motion, self.num_frames, rng)
        masks = np.zeros((self.num_frames, *after), bool)
        for seen, (rows, columns, mask) in zip(masks, warp.masks(rle), strict=True):
            seen[rows, columns] = mask
        picture = open_frame(self.video_set, video, 0, warp.decoded_size)
        return Pasted(annotation, warp.prepared(picture), warp, masks)

    def _frames(
        self,
        clip: int,
        warp: Warp,
        pasted: Pasted | None,
        outside: NDArray[np.bool_] | None,
        padded: Size,
        rng: np.random.Generator,
    ) -> NDArray[np.uint8]:
        """uint8 RGB [T, H, W, 3], padded with 0 at the bottom and right."""
        prepared = warp.prepared(open_frame(self.video_set, self.video_set.videos[clip], 0, warp.decoded_size))
        frames = np.zeros((self.num_frames, *padded, 3), np.uint8)
        for position in range(self.num_frames):
            pixels = np.asarray(warp.frame(prepared, position))
            if pasted is not None and (over := pasted.masks[position]).any():
                other = np.asarray(pasted.warp.frame(pasted.prepared, position))
                pixels = np.where(over[..., None], other, pixels)
            if self.augmentation.photometric:
                pixels = distort(pixels, draw_distortion(rng))
            frame = frames[position, : warp.after[0], : warp.after[1]]
            frame[:] = pixels
            if outside is not None and outside[position].any():
                frame[outside[position]] = OUTSIDE
        return frames

    def _targets(
        self, video: Video, warp: Warp, pasted: Pasted | None, outside: NDArray[np.bool_] | None, padded: Size
    ) -> ClipTargets:
        objects = [one for one in video.annotations if not one.iscrowd]
        by_size = sorted(range(len(objects)), key=lambda number: -_area(objects[number]))
        room = self.motion.max_objects - (pasted is not None)
        kept, beyond = ([objects[number] for number in sorted(some)] for some in (by_size[:room], by_size[room:]))
        covered = None if pasted is None else pasted.masks
        tracks = [(one, _masks(warp, one.segmentations[0], covered, padded)) for one in kept]
        if pasted is not None:
            tracks.append((pasted.annotation, _whole(pasted.masks, padded)))
        tracks = [(one, track) for one, track in tracks if track[0].any()]
        height, width = warp.after
        count = len(tracks)
        corners = np.array([track[1] for _, track in tracks], np.float64).reshape(count, self.num_frames, 4)
        valid = corners[..., 2] > corners[..., 0]
        labels = [self.video_set.labels[one.category_id] for one, _ in tracks]
        shape = (self.num_frames, *padded)
        whole = np.zeros(shape, bool)
        if outside is not None:
            whole[:, :height, :width] = outside
        return ClipTargets(
            labels=np.array(labels, np.int64),
            boxes=centred(corners, height, width).astype(np.float32),
            valid=valid,
            masks=np.stack([track[0] for _, track in tracks]) if tracks else np.zeros((0, *shape), np.uint8),
            video_id=video.id,
            frames=[0] * self.num_frames,
            size=warp.after,
            original_size=(video.height, video.width),
            outside=whole,
            ignored=_ignored(warp, [*video.ignored, *beyond]),
        )


def _area(annotation: Annotation) -> float:
    box = annotation.boxes[0]
    return 0.0 if box is None else box[2] * box[3]


def _masks(
    warp: Warp, rle: RLE | None, covered: NDArray[np.bool_] | None, padded: Size
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """An object's masks uint8 [T, H, W] less what is covered, and their boxes [T, 4] (left, top, right, bottom)."""
    masks, corners = np.zeros((len(warp.maps), *padded), np.uint8), np.zeros((len(warp.maps), 4))
    for position, (rows, columns, seen) in enumerate([] if rle is None else warp.masks(rle)):
        if covered is not None:
            seen = seen & ~covered[position, rows, columns]
        masks[position, rows, columns] = seen
        corners[position] = _around(seen, rows.start or 0, columns.start or 0)
    return masks, corners


def _whole(masks: NDArray[np.bool_], padded: Size) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Masks [T, h, w] padded to uint8 [T, H, W], and their boxes."""
    whole = np.zeros((len(masks), *padded), np.uint8)
    whole[:, : masks.shape[1], : masks.shape[2]] = masks
    return whole, np.array([_around(mask, 0, 0) for mask in masks])


def _around(mask: NDArray[np.bool_], top: int, left: int) -> tuple[int, int, int, int]:
    """The box of a mask whose first pixel is at (top, left); all 0 where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1


def _ignored(warp: Warp, annotations: list[Annotation]) -> NDArray[np.float32] | None:
    """The boxes [M, T, 4] of objects that are ignored, as those of `ClipTargets`; None where there are none."""
    found = [one.boxes[0] for one in annotations]
    boxes = np.array([box for box in found if box is not None], np.float64).reshape(-1, 4)
    if not len(boxes):
        return None
    boxes[:, 2:] += boxes[:, :2]
    corners = warp.boxes(boxes)
    seen = (corners[..., 2:] > corners[..., :2]).all(axis=-1, keepdims=True)
    return np.where(seen, centred(corners, *warp.after), 0).astype(np.float32)
