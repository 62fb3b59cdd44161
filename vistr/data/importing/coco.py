"""COCO files with tracks, as CVAT exports of a video: images are frames, annotations carry a track's number."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from vistr.data.box_check import BoxCheck
from vistr.data.importing.entries import Entry
from vistr.data.importing.writing import ImportedVideo, Scale, open_video
from vistr.data.picture_files import natural
from vistr.data.polygons import Outlines
from vistr.data.segmentation import decode, encode, to_rle
from vistr.data.values import is_finite, is_inside
from vistr.errors import UserError, shown
from vistr.files import read_json

logger = logging.getLogger(__name__)

# Where the number of the track stands: CVAT's, then others'.
_TRACK_KEYS = ("track_id", "instance_id", "object_id")
Identifier = int | str


def read_coco(annotation_file: Path, image_folder: Path) -> list[ImportedVideo]:
    """The videos of a COCO file, frames ordered by `frame_id` or else by name (2 before 10).

    A video is what `video_id` says, or else the folder of its images' file_name. The number of an annotation's track
    is its `track_id` (or its attributes'), `instance_id` or `object_id`. Objects drawn on larger or smaller copies of
    the images are scaled. UserError names the entry at fault.
    """
    content = Entry(read_json(annotation_file, "the COCO file"), f"{annotation_file}")
    categories = {entry.identifier("id"): entry.text("name") for entry in content.entries("categories", "category")}
    by_video: dict[Identifier, list[Entry]] = defaultdict(list)
    for image in content.entries("images", "image"):
        by_video[_video_of(image)].append(image)
    frames: dict[Identifier, tuple[ImportedVideo, int, Scale]] = {}
    videos, outlines = [], Outlines()
    for images in by_video.values():
        images.sort(key=_order)
        files = [image_folder / image.text("file_name") for image in images]
        if lost := [file for file in files if not file.is_file()]:
            raise UserError(f"{annotation_file} names images that do not exist: {lost[0]} and {len(lost) - 1} more")
        video = open_video(image_folder, files)
        video.outlines = outlines
        for number, image in enumerate(images):
            if image.identifier("id") in frames:
                raise UserError(f"{image.place}: the id {shown(image.values['id'])} is another image's too")
            scale = video.scale_from(image.side("height"), image.side("width"), image.place)
            frames[image.identifier("id")] = (video, number, scale)
        videos.append(video)
    without, outside, boxes = 0, 0, BoxCheck(str(annotation_file), "bbox")
    for entry in content.entries("annotations", "annotation"):
        image_id, category_id = entry.identifier("image_id"), entry.identifier("category_id")
        if image_id not in frames or category_id not in categories:
            raise UserError(f"{entry.place} is of an image or category that the file does not list")
        video, number, scale = frames[image_id]
        segmentation = _scaled(entry, scale)
        without += segmentation is None
        rle = video.add(str(_track(entry)), categories[category_id], number, segmentation, entry.place)
        outside += segmentation is not None and rle is None
        box = entry.values.get("bbox")
        if isinstance(box, list) and len(box) == 4 and all(map(is_finite, box)) and scale.drawn == scale.frame:
            boxes.add(entry.place, [rle], [(box[0], box[1], box[2], box[3])])
    if (warning := boxes.finish()) is not None:
        logger.warning("%s", warning)
    if outside:
        logger.warning("%d annotations have no pixel inside their frame: they are left out.", outside)
    if without:
        logger.warning("%d annotations have no segmentation, only a box or nothing: they are left out.", without)
    return videos


def _video_of(image: Entry) -> Identifier:
    name = image.text("file_name")
    if not is_inside(name):
        raise UserError(f"{image.place}: {shown(name)} leads out of the folder of the frames: give names inside it")
    return str(PurePosixPath(name).parent) if image.values.get("video_id") is None else image.identifier("video_id")


def _order(image: Entry) -> Any:
    frame = image.values.get("frame_id") or 0
    if not is_finite(frame):
        raise UserError(f"{image.place}: 'frame_id' must be a number, not {shown(frame, 40)}")
    return frame, natural(image.text("file_name"))


def _track(entry: Entry) -> Identifier:
    attributes = entry.values.get("attributes")
    for owner in (entry, Entry({} if attributes is None else attributes, f"{entry.place}: 'attributes'")):
        for key in _TRACK_KEYS:
            if owner.values.get(key) is not None:
                return owner.identifier(key)
    raise UserError(
        f"{entry.place} has no track_id: export tracks, not single shapes (in CVAT draw with Track, and export the"
        " format COCO 1.0)"
    )


def _scaled(entry: Entry, scale: Scale) -> Any:
    """The annotation's segmentation at the size of its frame, None where there is none."""
    segmentation = entry.values.get("segmentation")
    if not segmentation or scale.drawn == scale.frame:
        return segmentation or None
    try:
        if isinstance(segmentation, dict):
            rle = to_rle(segmentation, *scale.drawn)
            return None if rle is None else encode(scale.mask(decode(rle) > 0))
        factors = (scale.across, scale.down)
        return [[value * factors[place % 2] for place, value in enumerate(polygon)] for polygon in segmentation]
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{entry.place}: its segmentation cannot be read ({shown(error, 150)})") from None
