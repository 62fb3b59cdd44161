"""COCO instance annotations: pictures as videos of one frame, with the objects that are seen in them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistr.data.annotation_cache import AnnotationCache, Contents
from vistr.data.category_tables import CategoryTable
from vistr.data.coco_masks import CocoMasks
from vistr.data.packed import CROWD, IGNORED, PackedAnnotations
from vistr.data.polygon_codes import TakenPolygons
from vistr.data.run_lengths import loads_annotations, run_lengths_as_text
from vistr.data.values import is_inside, printable
from vistr.data.videos import Category, Video, VideoSet
from vistr.errors import UserError, shown
from vistr.files import read_json

logger = logging.getLogger(__name__)
MAX_ID, MAX_SIDE = 2**63 - 1, 2**16
_UNUSED = ("bbox", "coco_url", "flickr_url", "date_captured")


def read_coco(
    annotation_file: Path, image_folder: Path, table: CategoryTable | None = None, *, without_objects: bool = False
) -> VideoSet:
    """Reads a COCO instances file: every picture is a video of one frame.

    `table` names the categories that COCO's stand for: objects of others are `Video.ignored`; None: the file's own.
    Pictures that show no object of the categories are left out, unless `without_objects`. A large file is read once,
    as `read_ytvis` does. Raises UserError naming the file and the entry that is wrong.
    """
    if annotation_file.is_file() and not image_folder.is_dir():
        raise UserError(f"no folder of pictures {image_folder}: set dataset.images (or dataset.root)")
    cache = AnnotationCache(annotation_file, "coco")
    categories, videos, packed = cache.contents(_Reader(annotation_file).read)
    entries = packed.entries
    if table is not None:
        entries = _of_table(entries, categories, table, annotation_file)
        categories = table.categories
    wanted = entries[entries[:, 3] == 0, 1]
    if not len(wanted):
        names = ", ".join(category.name for category in categories)
        raise UserError(f"{annotation_file} has no annotated object of the categories {names}")
    if not without_objects:
        has_objects = np.bincount(wanted, minlength=len(videos)) > 0
        if not has_objects.all():
            lost = len(videos) - int(has_objects.sum())
            logger.info("%s: %d of %d pictures show none of the categories", annotation_file, lost, len(videos))
        entries = entries[has_objects[entries[:, 1]]]
        entries[:, 1] = (np.cumsum(has_objects) - 1)[entries[:, 1]]
        videos = tuple(compress(videos, has_objects.tolist()))
    selected = PackedAnnotations(entries, packed.ends, packed.boxes, packed.areas, packed.codes)
    return VideoSet(annotation_file, image_folder, categories, selected.of_videos(videos))


def _of_table(
    entries: NDArray[np.int64], categories: Sequence[Category], table: CategoryTable, file: Path
) -> NDArray[np.int64]:
    """The entries with the table's categories; those of other categories are ignored, crowds among them left out."""
    targets = table.targets({category.name for category in categories}, str(file))
    ids = np.array([category.id for category in categories], np.int64)
    found = np.array([targets.get(category.name, 0) for category in categories], np.int64)
    target = found[np.searchsorted(ids, entries[:, 2])]
    entries = entries.copy()
    entries[:, 2] = np.where(target > 0, target, entries[:, 2])
    entries[target == 0, 3] |= IGNORED
    kept: NDArray[np.int64] = entries[entries[:, 3] != CROWD | IGNORED]
    return kept


class _Reader:
    """Turns the entries of one file into arrays; every complaint opens with the file and the entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.taken: TakenPolygons | None = None

    def read(self) -> Contents:
        """Parse and check the file."""
        content = read_json(self.path, "The COCO file", self.loads)
        for key in ("images", "categories", "annotations"):
            if not isinstance(content, dict) or not isinstance(content.get(key), list) or not content[key]:
                raise UserError(f"{self.path} lacks a list of '{key}': {_of_another_kind(content)}")
        ids = self.whole_numbers(content["categories"], "category", "id")
        self.refuse_duplicates("category", ids)
        names = [printable(str(entry.get("name", entry["id"]))) for entry in content["categories"]]
        categories = sorted(map(Category, ids.tolist(), names), key=lambda category: category.id)
        videos = self.videos(content["images"])
        return Contents(tuple(categories), videos, self.annotations(content.pop("annotations"), categories, videos))

    def loads(self, data: bytes) -> Any:
        """The file's content, its polygons taken out where all can be read: as Python's numbers they take gigabytes."""
        try:
            self.taken = TakenPolygons(data)
        except ValueError:
            return loads_annotations(data)
        del data
        # One form of the text at a time is in memory.
        lean, self.taken.text = run_lengths_as_text(self.taken.text), b""
        try:
            text = lean.decode("utf-8-sig", "surrogatepass")
            del lean
            return json.loads(text, object_hook=_without_unused)
        except ValueError:
            self.taken = None
            return loads_annotations(self.path.read_bytes())  # its errors name places of the file as it is

    def videos(self, entries: list[Any]) -> tuple[Video, ...]:
        ids = self.whole_numbers(entries, "image", "id")
        self.refuse_duplicates("image", ids)
        heights, widths = (
            self.whole_numbers(entries, "image", key, 1, MAX_SIDE).tolist() for key in ("height", "width")
        )
        names = [entry.get("file_name") for entry in entries]
        for identifier, name in zip(ids.tolist(), names, strict=True):
            if not isinstance(name, str) or not is_inside(name):
                what = f"{shown(name)} is not a file name inside the folder of pictures"
                raise UserError(f"{self.path}: image {identifier}: {what}")
        parts = zip(ids.tolist(), heights, widths, names, strict=True)
        return tuple(Video(identifier, height, width, (name,), ()) for identifier, height, width, name in parts)

    def annotations(
        self, entries: list[Any], categories: Sequence[Category], videos: Sequence[Video]
    ) -> PackedAnnotations:
        """All annotations that show a pixel; empties `entries`, so that what is packed is not held twice."""
        ids = self.whole_numbers(entries, "annotation", "id")
        self.refuse_duplicates("annotation", ids)
        images = self.places(ids, self.whole_numbers(entries, "annotation", "image_id"), videos, "image", "images")
        category_ids = self.whole_numbers(entries, "annotation", "category_id")
        self.places(ids, category_ids, categories, "category", "categories")
        crowds = [entry.get("iscrowd") for entry in entries]
        for identifier, crowd in zip(ids.tolist(), crowds, strict=True):
            if crowd not in (0, 1, None):
                raise UserError(
                    f"{self.path}: annotation {identifier}: 'iscrowd' must be 0 or 1, not {shown(crowd, 40)}"
                )
        flags = np.array([bool(crowd) for crowd in crowds], np.int64) * CROWD
        sizes = np.array([(video.height, video.width) for video in videos], np.int64)[images]
        masks = CocoMasks(self.path, ids, sizes, self.taken)
        self.taken = None
        areas = masks.read(entries)
        entries.clear()
        kept = np.flatnonzero(masks.lengths)
        columns = (ids[kept], images[kept], category_ids[kept], flags[kept], np.arange(len(kept)))
        codes = masks.joined()
        return PackedAnnotations(
            np.stack(columns, axis=1),
            np.cumsum(masks.lengths[kept]),
            masks.boxes[kept],
            areas[kept],
            lambda first, end: codes[first:end],
            masks.warning(),
        )

    def whole_numbers(
        self, entries: list[Any], kind: str, key: str, least: int = -MAX_ID, most: int = MAX_ID
    ) -> NDArray[np.int64]:
        """The values of a key, one per entry. Raises UserError for what is no whole number in the range."""
        values: list[Any] = [entry.get(key) if isinstance(entry, dict) else None for entry in entries]
        # All at once; only where one is wrong each by itself.
        if set(map(type, values)) != {int} or not least <= min(values) <= max(values) <= most:
            for number, (entry, value) in enumerate(zip(entries, values, strict=True), 1):
                place = f"{self.path}: {kind} number {number}"
                if not isinstance(entry, dict):
                    raise UserError(f"{place} is {shown(entry, 40)}, not an object with '{key}'")
                if type(value) is not int or not least <= value <= most:
                    raise UserError(f"{place}: '{key}' must be a whole number, not {shown(value, 40)}")
        return np.array(values, np.int64)

    def places(
        self, ids: NDArray[np.int64], named: NDArray[np.int64], known: Sequence[Any], kind: str, listed: str
    ) -> NDArray[np.int64]:
        """The index in `known` of the id that each annotation refers to; UserError for an id that is not there."""
        there = np.array([one.id for one in known], np.int64)
        order = np.argsort(there)
        found: NDArray[np.int64] = order[np.searchsorted(there, named, sorter=order).clip(0, len(there) - 1)]
        if len(wrong := np.flatnonzero(there[found] != named)):
            place = f"{self.path}: annotation {ids[wrong[0]]}"
            raise UserError(f"{place} is of {kind} {named[wrong[0]]}, which '{listed}' does not list")
        return found

    def refuse_duplicates(self, kind: str, ids: NDArray[np.int64]) -> None:
        ordered = np.sort(ids)
        if len(twice := np.flatnonzero(ordered[1:] == ordered[:-1])):
            raise UserError(f"{self.path}: {kind} {ordered[twice[0]]} is listed twice")


def _without_unused(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry without what nobody asks for, which would take 200 MB of COCO."""
    for key in _UNUSED:
        entry.pop(key, None)
    return entry


def _of_another_kind(content: Any) -> str:
    """What a file seems to be that is no COCO instances file."""
    if not isinstance(content, dict):
        return f"it holds a JSON {type(content).__name__}, not an object; results are not annotations"
    if "videos" in content:
        return "it has 'videos', as files of YouTube-VIS: read it with dataset=custom"
    return "a COCO file of instances (instances_train2017.json) is needed, not one of captions or a list of images"
