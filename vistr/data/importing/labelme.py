"""LabelMe's files, one JSON a frame: the same label and group_id are the same object."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from vistr.data.importing.writing import ImportedVideo, folders_of, open_video, pictures_of
from vistr.errors import UserError

CIRCLE_POINTS = 64


def read_labelme(folder: Path) -> list[ImportedVideo]:
    """The videos of `folder/<video>`, each holding its frames and `<frame>.json` for those with objects.

    Polygons, rectangles and circles. An object is its label with its group_id; without one, a label may occur once a
    frame. UserError names the file at fault.
    """
    videos = []
    for one in folders_of(folder, "LabelMe's files"):
        files = pictures_of(one)
        if not files:
            raise UserError(f"{one} has no frames: LabelMe's files lie beside their pictures")
        video = open_video(folder, files)
        numbers = {file.stem: number for number, file in enumerate(files)}
        for file in sorted(one.glob("*.json")):
            if file.stem not in numbers:
                raise UserError(f"{file} belongs to no frame: there is no picture named {file.stem} beside it")
            _add_shapes(video, file, numbers[file.stem])
        videos.append(video)
    return videos


def _add_shapes(video: ImportedVideo, file: Path, frame: int) -> None:
    shapes = _shapes(file)
    alone = Counter(shape["label"] for shape in shapes if shape.get("group_id") is None)
    if twice := [label for label, count in alone.items() if count > 1]:
        raise UserError(
            f"{file} has {alone[twice[0]]} shapes {twice[0]!r} without a group_id: number the objects of a class with"
            " group_id, the same one in all frames (and for all parts of an object)"
        )
    for shape in shapes:
        group = shape.get("group_id")
        name = shape["label"] if group is None else f"{shape['label']} {group}"
        video.add(name, shape["label"], frame, [_polygon(shape, file)], f"{file}, {name}")


def _shapes(file: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        shapes = content["shapes"]
        if not all(isinstance(shape["label"], str) and shape["points"] for shape in shapes):
            raise ValueError("a shape without label or points")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no file of LabelMe ({error})") from error
    return list(shapes)


def _polygon(shape: dict[str, Any], file: Path) -> list[float]:
    """The outline x0, y0, x1, y1, ... in pixels."""
    kind, points = shape.get("shape_type") or "polygon", shape["points"]
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    elif kind == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = math.hypot(edge_x - x, edge_y - y)
        angles = [2 * math.pi * i / CIRCLE_POINTS for i in range(CIRCLE_POINTS)]
        points = [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]
    elif kind not in ("polygon", "rectangle"):
        raise UserError(f"{file}: a {kind} has no area: only polygons, rectangles and circles become masks")
    return [float(value) for point in points for value in point]
