"""Videos and their objects as an annotation file in the YouTube-VIS format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from vistr.data.images import frame_count, image_size
from vistr.data.picture_files import entries_of, images_in
from vistr.data.polygons import Outlines
from vistr.data.segmentation import RLE, area, to_json, to_rle
from vistr.data.videos import VideoSet, check_images
from vistr.data.ytvis import read_ytvis
from vistr.errors import UserError, shortened, shown
from vistr.files import replacing

MAX_PIXELS = 2**27  # of what objects were drawn on: as large as the largest picture that is opened


@dataclass(frozen=True)
class Scale:
    """From the (height, width) that objects were drawn at to their frame's."""

    drawn: tuple[int, int]
    frame: tuple[int, int]

    @property
    def down(self) -> float:
        """What a y in pixels is multiplied by."""
        return self.frame[0] / self.drawn[0]

    @property
    def across(self) -> float:
        """What an x in pixels is multiplied by."""
        return self.frame[1] / self.drawn[1]

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask, or a part of one, [height, width] as drawn, at the frame's size."""
        height, width = max(round(mask.shape[0] * self.down), 1), max(round(mask.shape[1] * self.across), 1)
        if mask.shape == (height, width):
            return mask
        return np.asarray(Image.fromarray(mask.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)) > 0


@dataclass
class ImportedVideo:
    """Frames (files relative to the image folder) and objects: (name, category) to the masks of its frames.

    `outlines` bounds the work on polygons: videos of one annotation file share it.
    """

    file_names: list[str]
    height: int
    width: int
    objects: dict[tuple[str, str], dict[int, RLE]] = field(default_factory=dict)
    outlines: Outlines = field(default_factory=Outlines)

    def add(self, name: str, category: str, frame: int, segmentation: Any, place: str) -> RLE | None:
        """Add a mask (anything `to_rle` takes) of an object in a frame to those it has there; returns this one.

        Raises UserError, a sentence that begins with `place`, for an invalid mask or one of another size.
        """
        try:
            rle = to_rle(segmentation, self.height, self.width, self.outlines)
        except ValueError as error:
            raise UserError(f"{place}: {shown(error, 150)}") from None
        if rle is None or not area(rle):
            return None
        masks = self.objects.setdefault((name, category), {})
        masks[frame] = coco_mask.merge([masks[frame], rle]) if frame in masks else rle
        return rle

    def scale_from(self, height: int | None, width: int | None, place: str) -> Scale:
        """The scale of objects whose file says that its frame is height x width (None: it does not say).

        UserError, which starts with `place`, where the frame has another shape: the objects belong elsewhere.
        """
        size = (self.height, self.width)
        drawn = (height or self.height, width or self.width)
        # The sides of a copy are rounded to whole pixels.
        allowed = min(max(*drawn, *size), 0.05 * drawn[0] * size[1])
        if abs(drawn[0] * size[1] - drawn[1] * size[0]) > allowed:
            turned = ""
            if drawn == size[::-1]:
                turned = ": one of the two was turned (pictures are read upright, as their EXIF orientation says)"
            raise UserError(f"{place} says {drawn[1]}x{drawn[0]}, but the frame is {size[1]}x{size[0]}{turned}")
        if drawn[0] * drawn[1] > MAX_PIXELS:
            raise UserError(f"{place} says {drawn[1]}x{drawn[0]}: too large")
        return Scale(drawn, size)


def frames_of(folder: Path, hint: str) -> list[Path]:
    """The frames in a folder, in natural order; UserError where there are none, or two of one name."""
    files = images_in(folder) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder} has no frames: {hint}")
    stems: dict[str, Path] = {}
    for file in files:
        other = stems.setdefault(file.stem, file)
        if other is not file:
            raise UserError(f"{folder} holds {other.name} and {file.name}: one of the two is no frame of the video")
    return files


def folders_of(folder: Path, what: str) -> list[Path]:
    """The folders in a folder, in natural order; UserError where there is none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder ({what})")
    inside = [path for path in entries_of(folder) if path.is_dir()]
    if not inside:
        raise UserError(f"{folder} has no folders in it: it needs one for each video ({what})")
    return inside


def open_video(image_folder: Path, files: Sequence[Path]) -> ImportedVideo:
    """A video without objects from its frames; UserError where they are of different sizes, or no pictures."""
    sizes = {}
    for file in files:
        if frame_count(file) > 1:
            raise UserError(f"{file} holds {frame_count(file)} pictures: a frame is one, in a file of its own")
        sizes[image_size(file)] = file
    if len(sizes) != 1:
        sizes_shown = ", ".join(f"{file.name} {width}x{height}" for (width, height), file in list(sizes.items())[:3])
        raise UserError(f"the frames of {files[0].parent} are of different sizes: {sizes_shown}")
    width, height = next(iter(sizes))
    return ImportedVideo([file.relative_to(image_folder).as_posix() for file in files], height, width)


def write_custom(
    output: Path, image_folder: Path, videos: Iterable[ImportedVideo], categories: Sequence[str] = ()
) -> VideoSet:
    """Write `output` and read it back as training will, which proves it whole; returns what was read.

    `categories` are the classes in the order of their ids (default: those that occur, by name). Raises UserError for a
    class that is not among them, no object at all, or a file that cannot be written.
    """
    videos = list(videos)
    found = {category for video in videos for _, category in video.objects}
    names = list(categories) or sorted(found)
    if not found:
        raise UserError("no object was found in any video: nothing is written")
    if strange := sorted(found - set(names)):
        raise UserError(
            f"the annotations have classes that are not among the given ones: {shortened(', '.join(strange))}"
        )
    content: dict[str, Any] = {
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
        "videos": [],
        "annotations": [],
    }
    for video_id, video in enumerate(videos, 1):
        size = {"height": video.height, "width": video.width, "length": len(video.file_names)}
        content["videos"].append({"id": video_id, **size, "file_names": video.file_names})
        for (_, category), masks in video.objects.items():
            rles = [masks.get(frame) for frame in range(len(video.file_names))]
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "video_id": video_id,
                    "category_id": names.index(category) + 1,
                    "iscrowd": 0,
                    **size,
                    "segmentations": [rle and to_json(rle) for rle in rles],
                    "bboxes": [rle and coco_mask.toBbox(rle).tolist() for rle in rles],
                    "areas": [rle and area(rle) for rle in rles],
                }
            )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(output) as draft:
            draft.write_text(json.dumps(content))
            video_set = read_ytvis(draft, image_folder)
            check_images(video_set)
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror}") from error
    return video_set
