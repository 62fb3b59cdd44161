"""Annotation files in the YouTube-VIS format: reading them, and saying exactly where one is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vistr.data.annotation_cache import AnnotationCache, Contents
from vistr.data.box_check import BoxCheck
from vistr.data.packed import PackedAnnotations, Packer
from vistr.data.polygons import Outlines
from vistr.data.run_lengths import loads_annotations
from vistr.data.segmentation import RLE, bounds, compressed_rles, to_rle
from vistr.data.values import is_finite, is_inside, printable
from vistr.data.videos import Annotation, Box, Category, Video, VideoSet, check_images
from vistr.errors import UserError, shown
from vistr.pointers import refuse_stand_in

__all__ = ["Annotation", "Box", "Category", "Video", "VideoSet", "check_images", "read_ytvis"]

MAX_ID, MAX_SIDE = 2**63 - 1, 2**16


def read_ytvis(annotation_file: Path, image_folder: Path) -> VideoSet:
    """Reads a YouTube-VIS 2019/2021 or OVIS file (`annotations` may be missing: validation files).

    Raises UserError naming file, video, frame and annotation of what is missing or malformed. Masks become
    compressed RLE: so the malformed ones are found before a day of training, and lists of run lengths do
    not fill gigabytes. A large file is read once: a packed copy in the user's cache folder serves until it changes.
    """
    if annotation_file.is_file() and not image_folder.is_dir():
        raise UserError(f"no image folder {image_folder}: set dataset.images (or dataset.root)")
    categories, videos, packed = AnnotationCache(annotation_file).contents(_Reader(annotation_file).read)
    return VideoSet(annotation_file, image_folder, categories, packed.of_videos(videos))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = loads_annotations(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"no annotation file {path}") from None
    except OSError as error:
        raise UserError(f"cannot read the annotation file {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        refuse_stand_in(path)
        raise UserError(f"{path} is not JSON: {shown(error, 100)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a JSON {type(content).__name__}, not an object with 'videos'")
    for key in ("videos", "categories"):
        if not isinstance(content.get(key), list) or not content[key]:
            hint = "it has 'images', as COCO: dataset=coco" if "images" in content else "is it a YouTube-VIS file?"
            raise UserError(f"{path} lacks a list of '{key}': {hint}")
    return content


class _Reader:
    """Turns entries of one file into dataclasses; every complaint opens with the file and the entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.box_check = BoxCheck(str(path))
        self.outlines = Outlines()

    def read(self) -> Contents:
        """Parse and check the file."""
        content = _read_json(self.path)
        categories = sorted((self.category(entry) for entry in content["categories"]), key=lambda each: each.id)
        self.refuse_duplicates("category", (category.id for category in categories))
        videos = [self.video(entry) for entry in content["videos"]]
        self.refuse_duplicates("video", (video.id for video in videos))
        packed = self.annotations(content.get("annotations"), videos, {category.id for category in categories})
        return Contents(tuple(categories), tuple(videos), packed)

    def category(self, entry: Any) -> Category:
        identifier = self.whole_number(entry, "id", "a category")
        return Category(identifier, printable(str(entry.get("name", identifier))))

    def video(self, entry: Any) -> Video:
        identifier = self.whole_number(entry, "id", "a video")
        place = f"video {identifier}"
        height, width = (self.whole_number(entry, key, place, 1, MAX_SIDE) for key in ("height", "width"))
        names = entry.get("file_names")
        if not isinstance(names, list) or not names:
            raise UserError(f"{self.path}: {place} has no frames (its 'file_names' is missing or empty)")
        for frame, name in enumerate(names):
            if not isinstance(name, str) or not is_inside(name):
                raise UserError(
                    f"{self.path}: {place}, frame {frame}: {shown(name)} is not a file name inside the folder of images"
                )
        return Video(identifier, height, width, tuple(names), ())

    def annotations(self, entries: Any, videos: Sequence[Video], category_ids: set[int]) -> PackedAnnotations:
        """All annotations; empties `entries`, so that what is packed is not held twice."""
        if not isinstance(entries, list | None):
            raise UserError(f"{self.path}: 'annotations' is not a list")
        by_id = {video.id: index for index, video in enumerate(videos)}
        packer = Packer()
        entries = entries or []
        for place_in_file, entry in enumerate(entries):
            identifier = self.whole_number(entry, "id", "an annotation")
            place = f"annotation {identifier}"
            video_id = self.whole_number(entry, "video_id", place)
            if video_id not in by_id:
                raise UserError(f"{self.path}: {place} is of video {video_id}, which 'videos' does not list")
            place += f" (video {video_id})"
            category_id = self.whole_number(entry, "category_id", place)
            if category_id not in category_ids:
                raise UserError(f"{self.path}: {place} is of category {category_id}, which 'categories' lacks")
            video = videos[by_id[video_id]]
            frames = self.frames(entry, place, video)
            if (crowd := entry.get("iscrowd")) not in (0, 1, None):
                raise UserError(f"{self.path}: {place}: 'iscrowd' must be 0 or 1, not {shown(crowd, 40)}")
            packer.add(identifier, by_id[video_id], category_id, bool(crowd), *frames)
            entries[place_in_file] = None
        self.refuse_duplicates("annotation", (identifier for identifier, *_ in packer.entries))
        return packer.packed(self.box_check.finish())

    def frames(
        self, entry: dict[str, Any], place: str, video: Video
    ) -> tuple[list[RLE | None], list[Box | None], list[float | None]]:
        """An annotation's masks, boxes and areas; mask and box are absent in the same frames."""
        masks = self.per_frame(entry, "segmentations", place, len(video))
        if masks is None:
            raise UserError(f"{self.path}: {place} lacks 'segmentations'")
        rles = compressed_rles(masks, video.height, video.width)
        if rles is None:
            rles = [self.mask(mask, video, f"{place}, frame {frame}") for frame, mask in enumerate(masks)]
        written = self.per_frame(entry, "bboxes", place, len(video))
        if written is None:
            boxes = [None if rle is None else bounds(rle) for rle in rles]
        else:
            boxes = [self.box(box, f"{place}, frame {frame}") for frame, box in enumerate(written)]
            self.box_check.add(place, rles, boxes)
        areas = self.per_frame(entry, "areas", place, len(video)) or [None] * len(video)
        for frame, value in enumerate(areas):
            if value is not None and not (is_finite(value) and value >= 0):
                number = f"an area is a number of pixels or null, not {shown(value, 40)}"
                raise UserError(f"{self.path}: {place}, frame {frame}: {number}")
        return (
            [rle if box else None for rle, box in zip(rles, boxes, strict=True)],
            [box if rle else None for rle, box in zip(rles, boxes, strict=True)],
            areas,
        )

    def per_frame(self, entry: dict[str, Any], key: str, place: str, length: int) -> list[Any] | None:
        values = entry.get(key)
        if values is None:
            return None
        if not isinstance(values, list) or len(values) != length:
            found = f"{len(values)} entries" if isinstance(values, list) else shown(values, 40)
            number = f"'{key}' needs one entry for each of {length} frames, not {found}"
            raise UserError(f"{self.path}: {place}: {number}")
        return values

    def mask(self, mask: Any, video: Video, place: str) -> RLE | None:
        try:
            return to_rle(mask, video.height, video.width, self.outlines)
        except ValueError as error:
            raise UserError(f"{self.path}: {place}: {error}") from None

    def box(self, box: Any, place: str) -> Box | None:
        if box is None:
            return None
        if not isinstance(box, list) or len(box) != 4 or not all(map(is_finite, box)):
            raise UserError(f"{self.path}: {place}: a box is [x, y, width, height] or null, not {shown(box)}")
        x, y, width, height = box
        return (x, y, width, height)

    def whole_number(self, entry: Any, key: str, place: str, least: int = -MAX_ID, most: int = MAX_ID) -> int:
        if not isinstance(entry, dict):
            raise UserError(f"{self.path}: {place} is {shown(entry, 40)}, not an object with '{key}'")
        value = entry.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise UserError(f"{self.path}: {place}: '{key}' must be a whole number, not {shown(value, 40)}")
        return value

    def refuse_duplicates(self, kind: str, identifiers: Iterable[int]) -> None:
        seen: set[int] = set()
        for identifier in identifiers:
            if identifier in seen:
                raise UserError(f"{self.path}: {kind} {identifier} is listed twice")
            seen.add(identifier)
