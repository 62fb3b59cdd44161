"""Videos and their objects as an annotation file in the YouTube-VIS format."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from pycocotools import mask as coco_mask

from vistr.data.segmentation import RLE, area, to_json, to_rle
from vistr.data.videos import VideoSet, check_images
from vistr.data.ytvis import read_ytvis
from vistr.errors import UserError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass
class ImportedVideo:
    """Frames (files relative to the image folder) and objects: (name, category) to the masks of its frames."""

    file_names: list[str]
    height: int
    width: int
    objects: dict[tuple[str, str], dict[int, RLE]] = field(default_factory=dict)

    def add(self, name: str, category: str, frame: int, segmentation: Any, place: str) -> None:
        """Add a mask (as `to_rle` takes it) of an object in a frame; several become their union. UserError: none."""
        try:
            rle = to_rle(segmentation, self.height, self.width)
        except ValueError as error:
            raise UserError(f"{place}: {error}") from None
        if rle is None or not area(rle):
            return
        masks = self.objects.setdefault((name, category), {})
        masks[frame] = coco_mask.merge([masks[frame], rle]) if frame in masks else rle


def pictures_of(folder: Path) -> list[Path]:
    """The pictures in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)


def folders_of(folder: Path, what: str) -> list[Path]:
    """The folders in a folder, by name; UserError where there is none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder ({what})")
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    if not inside:
        raise UserError(f"{folder} has no folders in it: it needs one for each video ({what})")
    return inside


def open_video(image_folder: Path, files: Sequence[Path]) -> ImportedVideo:
    """A video without objects from its frames; UserError where they are of different sizes, or no pictures."""
    sizes = {}
    for file in files:
        try:
            with Image.open(file) as picture:
                sizes[picture.size] = file
        except OSError as error:
            raise UserError(f"{file} is no picture: {error}") from error
    if len(sizes) != 1:
        shown = ", ".join(f"{file.name} {width}x{height}" for (width, height), file in sizes.items())
        raise UserError(f"the frames of {files[0].parent} are of different sizes: {shown}")
    width, height = next(iter(sizes))
    return ImportedVideo([file.relative_to(image_folder).as_posix() for file in files], height, width)


def write_custom(
    output: Path, image_folder: Path, videos: Iterable[ImportedVideo], categories: Sequence[str] = ()
) -> VideoSet:
    """Write `output` and read it back as training will, which proves it whole; returns what was read.

    `categories` are the classes in the order of their ids (default: those that occur, by name). UserError: a class
    that is not among them, no object at all, or a file that cannot be written.
    """
    videos = list(videos)
    found = {category for video in videos for _, category in video.objects}
    names = list(categories) or sorted(found)
    if not found:
        raise UserError("no object was found in any video: nothing is written")
    if strange := sorted(found - set(names)):
        raise UserError(f"the annotations have classes that are not among the given ones: {', '.join(strange)}")
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
    draft = output.with_name(f".{output.name}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(content))
        video_set = read_ytvis(draft, image_folder)
        check_images(video_set)
        os.replace(draft, output)
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return video_set
