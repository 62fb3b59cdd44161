"""COCO files with tracks, as CVAT exports of a video: images are frames, annotations carry a track's number."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from vistr.data.importing.writing import ImportedVideo, open_video
from vistr.errors import UserError

# Where the number of the track stands: CVAT's, then others'.
_TRACK_KEYS = ("track_id", "instance_id", "object_id")


def read_coco(annotation_file: Path, image_folder: Path) -> list[ImportedVideo]:
    """The videos of a COCO file, frames ordered by `frame_id` or else by name.

    A video is what `video_id` says, or else the folder of its images' file_name. The number of an annotation's track
    is its `track_id` (or its attributes'), `instance_id` or `object_id`. UserError names the entry at fault.
    """
    content = _read(annotation_file)
    categories = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
    by_video: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for image in content["images"]:
        by_video[image.get("video_id", str(PurePosixPath(image["file_name"]).parent))].append(image)
    places: dict[Any, tuple[ImportedVideo, int]] = {}
    videos = []
    for images in by_video.values():
        images.sort(key=lambda image: (image.get("frame_id", 0), image["file_name"]))
        files = [image_folder / image["file_name"] for image in images]
        if lost := [file for file in files if not file.is_file()]:
            raise UserError(f"{annotation_file} names images that do not exist: {lost[0]} and {len(lost) - 1} more")
        videos.append(open_video(image_folder, files))
        places.update((image["id"], (videos[-1], frame)) for frame, image in enumerate(images))
    for entry in content["annotations"]:
        place = f"{annotation_file}: annotation {entry.get('id')}"
        if entry.get("image_id") not in places or entry.get("category_id") not in categories:
            raise UserError(f"{place} is of an image or category that the file does not list")
        track = _track(entry)
        if track is None:
            raise UserError(
                f"{place} has no track_id: export tracks, not single shapes (in CVAT draw with Track, and export the"
                " format COCO 1.0)"
            )
        video, frame = places[entry["image_id"]]
        category = categories[entry["category_id"]]
        video.add(str(track), category, frame, entry.get("segmentation"), place)
    return videos


def _track(entry: dict[str, Any]) -> Any:
    for owner in (entry, entry.get("attributes") or {}):
        for key in _TRACK_KEYS:
            if owner.get(key) is not None:
                return owner[key]
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for key in ("images", "annotations", "categories"):
            if not isinstance(content[key], list):
                raise ValueError(f"its {key} are no list")
        if not all("id" in image and "file_name" in image for image in content["images"]):
            raise ValueError("an image without id or file_name")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no COCO file ({error!r})") from error
    return content
