"""Training clips as pictures: what the network sees and is taught, below the frames as they lie on the disk."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from vistr.data.clips import ClipTargets
from vistr.data.samples import open_frame
from vistr.data.segmentation import decode
from vistr.data.videos import VideoSet
from vistr.drawing.overlays import Pixels, contact_sheet, draw_tracks

NUM_COLUMNS = 6
_STRIPE, _STRIPES, _IGNORED = 8, ((70, 70, 78), (44, 44, 50)), (235, 235, 235)


def clip_sheet(frames: Pixels, targets: ClipTargets, video_set: VideoSet) -> Pixels:
    """One clip of `video_set`, uint8 `[T, H, W, 3]`, with its targets, below the frames it is made of.

    Where no picture is, and no mask is judged, are stripes; what is ignored has a white box. uint8 `[H', W', 3]`.
    """
    length, (height, width) = len(frames), targets.size
    numbers = sorted({round(number) for number in np.linspace(0, length - 1, min(NUM_COLUMNS, length)).tolist()})
    clip = [_draw_clip(frames, targets, video_set.names, number) for number in numbers]
    on_disk = list(dict.fromkeys(targets.frames[number] for number in numbers))
    kind = "picture" if len(set(targets.frames)) == 1 else "video"
    title = f"{kind} {targets.video_id} as annotated"
    above = [_draw_frame(video_set, targets, frame, height) for frame in on_disk]
    rows = [(title, above), (f"the clip, {width}x{height}", clip)]
    return contact_sheet(rows, max_columns=NUM_COLUMNS, frame_numbers=numbers)


def _draw_frame(video_set: VideoSet, targets: ClipTargets, number: int, height: int) -> Pixels:
    """A frame as it lies on the disk, resized to the clip's height."""
    video = next(video for video in video_set.videos if video.id == targets.video_id)
    names = {category.id: category.name for category in video_set.categories}
    size = max(round(video.width * height / video.height), 1), height
    frame = open_frame(video_set, video, number).resize(size, Image.Resampling.BILINEAR)
    shown = [(one, one.segmentations[number]) for one in video.annotations if not one.iscrowd]
    masks = [
        None if rle is None else np.asarray(Image.fromarray(decode(rle)).resize(size, Image.Resampling.NEAREST))
        for _, rle in shown
    ]
    return draw_tracks(np.asarray(frame), masks, labels=[names[one.category_id] for one, _ in shown])


def _draw_clip(frames: Pixels, targets: ClipTargets, names: list[str], number: int) -> Pixels:
    height, width = targets.size
    frame = frames[number, :height, :width].copy()
    if targets.outside is not None:
        outside = targets.outside[number, :height, :width]
        frame[outside] = _stripes(height, width)[outside]
    tracks = zip(targets.masks, targets.valid, strict=True)
    masks = [mask[number, :height, :width] if seen[number] else None for mask, seen in tracks]
    drawn = Image.fromarray(draw_tracks(frame, masks, labels=[names[label - 1] for label in targets.labels]))
    draw = ImageDraw.Draw(drawn)
    for x, y, box_width, box_height in [] if targets.ignored is None else targets.ignored[:, number].tolist():
        if box_width > 0 and box_height > 0:
            edges = x - box_width / 2, y - box_height / 2, x + box_width / 2, y + box_height / 2
            sides = (drawn.width, drawn.height) * 2
            draw.rectangle([edge * side for edge, side in zip(edges, sides, strict=True)], outline=_IGNORED, width=2)
    return np.asarray(drawn)


def _stripes(height: int, width: int) -> Pixels:
    places = np.add.outer(np.arange(height), np.arange(width)) // _STRIPE % 2
    stripes: Pixels = np.array(_STRIPES, np.uint8)[places]
    return stripes
