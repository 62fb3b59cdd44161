"""LabelMe's files, one JSON a frame: the same label and group_id are the same object."""

from __future__ import annotations

import base64
import io
import logging
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vistr.data.importing.entries import Entry
from vistr.data.importing.writing import ImportedVideo, Scale, folders_of, frames_of, open_video
from vistr.data.picture_files import entries_of
from vistr.data.segmentation import encode
from vistr.errors import UserError, shortened, shown
from vistr.files import read_json

logger = logging.getLogger(__name__)

CIRCLE_POINTS = 64
_AREAS = ("polygon", "rectangle", "rotation", "oriented_rectangle", "quadrilateral")
_NUMBERED = re.compile(r"(.*[^-_ #(])( ?#|[-_ ]| ?\()([0-9]{1,6})\)?")


@dataclass(frozen=True)
class _Frame:
    """The annotation of one frame, from its JSON file."""

    video: ImportedVideo
    number: int
    shapes: list[Entry]
    scale: Scale


def read_labelme(folder: Path, classes: Collection[str] = ()) -> list[ImportedVideo]:
    """The videos of `folder/<video>`, each holding its frames and `<frame>.json` for those with objects.

    Polygons, rectangles, circles and masks, scaled where they were drawn on a larger or smaller copy of the frame. An
    object is its label with its group_id; without one, a label may occur once a frame, and labels that differ in a
    number at their end (cow-1, cow-2) are objects of one class, unless `classes` lists them as they are. Shapes
    outside their frame are left out, with a warning. UserError names the file at fault.
    """
    videos, frames = [], []
    for one in folders_of(folder, "LabelMe's files"):
        files = frames_of(one, "LabelMe's files lie beside their pictures")
        video = open_video(folder, files)
        numbers = {file.stem: number for number, file in enumerate(files)}
        for file in entries_of(one):
            if file.suffix.lower() == ".json":
                if file.stem not in numbers:
                    raise UserError(f"{file} belongs to no frame: there is no picture named {file.stem} beside it")
                frames.append(_read(file, video, numbers[file.stem]))
        videos.append(video)
    labels = (shape.text("label") for frame in frames for shape in frame.shapes if _group(shape) is None)
    numbered = _numbered_labels(labels, classes)
    outside = [place for frame in frames for place in _add_shapes(frame, numbered)]
    if outside:
        logger.warning("Shapes outside their frame are left out: %d, the first %s.", len(outside), outside[0])
    return videos


def _read(file: Path, video: ImportedVideo, number: int) -> _Frame:
    content = Entry(read_json(file, "LabelMe's file"), f"{file}")
    scale = video.scale_from(content.side("imageHeight"), content.side("imageWidth"), content.place)
    return _Frame(video, number, content.entries("shapes", "shape"), scale)


def _group(shape: Entry) -> int | str | None:
    return None if shape.values.get("group_id") is None else shape.identifier("group_id")


def _numbered_labels(labels: Iterable[str], classes: Collection[str]) -> dict[str, str]:
    """The class of each label that numbers its object, such as cow of cow-1.

    A number is one where counting starts, at 0 or 1: f-15 and f-16 are classes. After "_" and " ", which names of
    classes have too, it takes two of them.
    """
    by_class: dict[str, dict[str, int]] = defaultdict(dict)
    dashed = set()
    for label in labels:
        match = _NUMBERED.fullmatch(label)
        if match and label not in classes:
            by_class[match[1]][label] = int(match[3])
            if match[2] not in ("_", " "):
                dashed.add(match[1])
    found = {}
    for name, numbers in by_class.items():
        if min(numbers.values()) <= 1 and (len(numbers) > 1 or name in dashed):
            found.update(dict.fromkeys(numbers, name))
            logger.info("The labels %s number the objects of the class %s.", shown(sorted(numbers), 100), name)
    return found


def _add_shapes(frame: _Frame, numbered: dict[str, str]) -> list[str]:
    """Add a frame's shapes to their objects; returns the places of those that have no pixel in it."""
    outside = []
    alone = Counter(
        shape.text("label") for shape in frame.shapes if _group(shape) is None and shape.text("label") not in numbered
    )
    if twice := [label for label, count in alone.items() if count > 1]:
        raise UserError(
            f"{frame.shapes[0].place.rpartition(':')[0]} has {alone[twice[0]]} shapes {twice[0]!r} without a group_id:"
            " number the objects of a class with group_id, the same one in all frames (and for all parts of an object)"
        )
    for shape in frame.shapes:
        label, group = shape.text("label"), _group(shape)
        name = label if group is None else f"{label} {group}"
        category = numbered.get(label, label) if group is None else label
        is_mask = shape.values.get("shape_type") == "mask"
        area = encode(_mask(shape, frame)) if is_mask else [_polygon(shape, frame.scale)]
        if frame.video.add(name, category, frame.number, area, shape.place) is None:
            outside.append(shape.place)
    return outside


def _polygon(shape: Entry, scale: Scale) -> list[float]:
    """The outline x0, y0, x1, y1, ... in the frame's pixels."""
    kind, points = shape.values.get("shape_type") or "polygon", shape.points("points")
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    elif kind == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = math.hypot(edge_x - x, edge_y - y)
        angles = [2 * math.pi * i / CIRCLE_POINTS for i in range(CIRCLE_POINTS)]
        points = [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]
    elif kind not in _AREAS:
        raise UserError(
            f"{shape.place}: a {shortened(kind, 40)} has no area: only polygons, rectangles, circles and masks have one"
        )
    return [value for x, y in points for value in (x * scale.across, y * scale.down)]


def _mask(shape: Entry, frame: _Frame) -> NDArray[np.bool_]:
    """The frame's mask from LabelMe's: two corners, and a black and white PNG of what lies between them."""
    points = shape.points("points")
    (left, right), (top, bottom) = (
        sorted((round(values[0]), round(values[-1]))) for values in zip(*points, strict=True)
    )
    width, height = right - left + 1, bottom - top + 1
    try:
        content = base64.b64decode(shape.text("mask"), validate=True)
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            if abs(picture.width - width) > 1 or abs(picture.height - height) > 1:
                raise ValueError(f"it is {picture.width}x{picture.height}, its corners say {width}x{height}")
            window = np.asarray(picture.convert("L")) > 0
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{shape.place}: its mask cannot be read ({shown(error, 100)})") from None
    window = frame.scale.mask(window)
    whole = np.zeros(frame.scale.frame, bool)
    top, left = round(top * frame.scale.down), round(left * frame.scale.across)
    target = whole[max(top, 0) : max(top + len(window), 0), max(left, 0) : max(left + window.shape[1], 0)]
    inside = window[max(-top, 0) :, max(-left, 0) :]
    target[...] = inside[: target.shape[0], : target.shape[1]]
    return whole
