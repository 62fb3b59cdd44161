"""One clip from the disk: its frames decoded and changed, its masks decoded and sampled, batches padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vistr.data.buckets import Size, padded_size
from vistr.data.clips import Batch, ClipTargets
from vistr.data.images import image_size, read_reduced, stored_size
from vistr.data.resampling import frame_steps, reduced_size
from vistr.data.segmentation import RLE, bounds, decode
from vistr.data.transforms import FloatArray, FrameStep, Pixels, Step, move_boxes, move_frame, shown_pixels
from vistr.data.videos import Annotation, Video, VideoSet
from vistr.errors import UserError

Scalar = TypeVar("Scalar", bound=np.generic)
MOST_OPENED = 2000  # videos whose size is looked up before a run; COCO has 118,287 pictures


def load_frames(
    video_set: VideoSet,
    video: Video,
    frames: Sequence[int],
    steps: Sequence[Step],
    size_divisor: int,
    sizes: Sequence[Size] = (),
    *,
    exact: bool = True,
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The clip's frames after `steps`: uint8 RGB [T, H, W, 3] and their unpadded size (height, width).

    H and W are padded with 0 at the bottom and right, to one of the sizes or to multiples of size_divisor. What is not
    `exact` is faster, and a pixel may differ in brightness a little: frames are decoded at a fraction of their size
    where the first resize halves them at least, and successive resizes are joined. UserError names the file, video and
    frame of an image that is missing, damaged or of another size than its video.
    """
    rows, columns = shown_pixels(steps, video.height, video.width)
    height, width = len(rows), len(columns)
    clip = np.zeros((len(frames), *padded_size(height, width, size_divisor, sizes), 3), np.uint8)
    changes: Sequence[FrameStep] = steps if exact else frame_steps(steps)
    least = None if exact else reduced_size(steps)
    for frame, positions in _positions(frames):
        image = open_frame(video_set, video, frame, least)
        for position in positions:
            clip[position, :height, :width] = move_frame(changes, image, position)
    return clip, (height, width)


def load_targets(
    video_set: VideoSet,
    video: Video,
    frames: Sequence[int],
    steps: Sequence[Step],
    size_divisor: int,
    sizes: Sequence[Size] = (),
) -> ClipTargets:
    """The objects seen in the clip after `steps`: crowds and objects with no pixel left are left out."""
    rows, columns = shown_pixels(steps, video.height, video.width)
    height, width = len(rows), len(columns)
    mask_size = padded_size(height, width, size_divisor, sizes)
    labels: list[int] = []
    valid: list[NDArray[np.bool_]] = []
    boxes: list[FloatArray] = []
    masks: list[NDArray[np.uint8]] = []
    for annotation in video.annotations:
        if annotation.iscrowd:
            continue
        object_masks = np.zeros((len(frames), *mask_size), np.uint8)
        for frame, positions in _positions(frames):
            if rle := annotation.segmentations[frame]:
                y, x, seen = _sampled(rle, rows, columns)
                object_masks[positions, y, x] = seen
        # A crop or the sampling may have removed the object: what counts is what is left of it.
        visible = object_masks.any(axis=(1, 2))
        if visible.any():
            labels.append(video_set.labels[annotation.category_id])
            valid.append(visible)
            boxes.append(_clip_boxes(video, annotation, frames, steps, object_masks))
            masks.append(object_masks)
    count, length = len(labels), len(frames)
    kept = np.array(valid, np.bool_).reshape(count, length)
    relative = centred(np.array(boxes, np.float64).reshape(count, length, 4), height, width)
    return ClipTargets(
        labels=np.array(labels, np.int64),
        boxes=np.where(kept[..., None], relative, 0).astype(np.float32),
        valid=kept,
        masks=np.stack(masks) if masks else np.zeros((0, length, *mask_size), np.uint8),
        video_id=video.id,
        frames=list(frames),
        size=(height, width),
        original_size=(video.height, video.width),
    )


def _sampled(rle: RLE, rows: Pixels, columns: Pixels) -> tuple[slice, slice, NDArray[np.uint8]]:
    """The part of mask[rows][:, columns] that the mask's box reaches into, and where it is: much less to copy."""
    left, top, width, height = (int(side) for side in bounds(rle))
    inside_y = np.flatnonzero((rows >= top) & (rows < top + height))
    inside_x = np.flatnonzero((columns >= left) & (columns < left + width))
    if not len(inside_y) or not len(inside_x):
        return slice(0), slice(0), np.zeros((0, 0), np.uint8)
    y, x = slice(inside_y[0], inside_y[-1] + 1), slice(inside_x[0], inside_x[-1] + 1)
    # RLEs decode column by column: picking the columns first copies whole runs of memory.
    return y, x, decode(rle).T[columns[x]][:, rows[y]].T


def collate(clips: Sequence[tuple[NDArray[np.uint8], ClipTargets]]) -> Batch:
    """Clips as one batch, padded at the bottom and right to the largest; their masks are padded alike."""
    height, width = (max(frames.shape[axis] for frames, _ in clips) for axis in (1, 2))
    length = len(clips[0][0])
    padding = np.ones((len(clips), length, height, width), np.bool_)
    for index, (_, targets) in enumerate(clips):
        padding[index, :, : targets.size[0], : targets.size[1]] = False
        targets.masks = _grown(targets.masks, (*targets.masks.shape[:2], height, width))
        if targets.outside is not None:
            targets.outside = _grown(targets.outside, (length, height, width))
    grown = [_grown(frames, (length, height, width, 3)) for frames, _ in clips]
    # A batch of one is passed on as it is: the copy would cost the training loop 20 ms.
    frames = grown[0][None] if len(grown) == 1 else np.stack(grown)
    return Batch(frames, padding, [targets for _, targets in clips])


def open_frame(video_set: VideoSet, video: Video, frame: int, least: tuple[int, int] | None = None) -> Image.Image:
    """One frame, RGB and upright; UserError where it is missing, damaged or of another size than its video.

    With `least` it may be decoded at a fraction of its size, but not under this (height, width).
    """
    path, place = _path_and_place(video_set, video, frame)
    try:
        pixels, whole = read_reduced(path, place, least)
    except FileNotFoundError:
        raise UserError(f"no image {place}, which {video_set.annotation_file} names") from None
    _check_size(whole, video_set, video, frame)
    return pixels


def check_sizes(video_set: VideoSet) -> None:
    """The first frame of every video has its video's size; UserError names the first that has not, or is no picture.

    Of more than MOST_OPENED videos that many are looked at, evenly spread; the others as they are loaded.
    """
    step = max(len(video_set.videos) / MOST_OPENED, 1)
    videos = [video_set.videos[int(place)] for place in np.arange(0, len(video_set.videos), step)]

    def size(video: Video) -> tuple[int, int]:
        path, place = _path_and_place(video_set, video, 0)
        return image_size(path, place)

    # Several at once: on a network file system most of the time is waiting.
    with ThreadPoolExecutor(8) as pool:
        for video, found in zip(videos, pool.map(size, videos), strict=True):
            _check_size(found, video_set, video, 0)


def _path_and_place(video_set: VideoSet, video: Video, frame: int) -> tuple[Path, str]:
    path = video_set.image_folder / video.file_names[frame]
    return path, f"{path} (video {video.id}, frame {frame})"


def _check_size(size: tuple[int, int], video_set: VideoSet, video: Video, frame: int) -> None:
    if size != (video.width, video.height):
        path, place = _path_and_place(video_set, video, frame)
        turned = " turned upright as its EXIF orientation says" if stored_size(path) != size else ""
        raise UserError(
            f"the image {place} is {size[0]}x{size[1]}{turned}, "
            f"{video_set.annotation_file} says {video.width}x{video.height}"
        )


def _clip_boxes(
    video: Video,
    annotation: Annotation,
    frames: Sequence[int],
    steps: Sequence[Step],
    masks: NDArray[np.uint8],
) -> FloatArray:
    """Boxes [T, 4] (left, top, right, bottom) after `steps`; the mask's own where that outlived it."""
    corners = np.array([annotation.boxes[frame] or (0, 0, 0, 0) for frame in frames], np.float64)
    corners[:, 2:] += corners[:, :2]
    corners = np.clip(corners, 0, [video.width, video.height, video.width, video.height])
    boxes = move_boxes(steps, corners)
    for position in np.flatnonzero((boxes[:, 2:] <= boxes[:, :2]).any(axis=1)):
        rows, columns = (np.flatnonzero(masks[position].any(axis=axis)) for axis in (1, 0))
        if len(rows):
            boxes[position] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def centred(corners: FloatArray, height: int, width: int) -> FloatArray:
    """(left, top, right, bottom) in pixels to (centre x, centre y, width, height) in [0, 1]."""
    near, far = corners[..., :2], corners[..., 2:]
    boxes: FloatArray = np.concatenate([(near + far) / 2, far - near], axis=-1)
    return boxes / np.array([width, height, width, height], np.float64)


def _positions(frames: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Each frame once, with every position it has in the clip: repeated frames are decoded once."""
    positions: dict[int, list[int]] = {}
    for position, frame in enumerate(frames):
        positions.setdefault(frame, []).append(position)
    yield from positions.items()


def _grown(array: NDArray[Scalar], shape: tuple[int, ...]) -> NDArray[Scalar]:
    """The array with 0 added at the end of every axis."""
    if array.shape == shape:
        return array
    grown = np.zeros(shape, array.dtype)
    grown[tuple(slice(length) for length in array.shape)] = array
    return grown
