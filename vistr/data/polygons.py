"""Polygons of an annotation file: checked, and the work of filling them bounded for the whole file."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from vistr.errors import shown

# pycocotools walks along an outline pixel by pixel, some 100 ns each, and keeps every step. Outlines of objects are
# seldom longer than twice the way around their bounding box, or have a point every few pixels: what goes beyond both
# adds up over a file.
_AROUND, _PIXELS_A_POINT, _MOST_BEYOND = 2, 50, 5_000_000
_LONGEST = 2_000_000  # of one mask's polygons, in pixels
MAX_COORDINATE = 1e6


def longest_outline(height: Any, width: Any) -> Any:
    """How long the outlines of one mask may be together, pixels; of one picture, or of arrays of them."""
    return np.minimum(100_000 + 2 * height * width, _LONGEST)


def too_long(height: int, width: int) -> str:
    """What to say of longer ones."""
    return f"its polygons' outline is far longer than a picture of {width}x{height} has room for"


class Outlines:
    """Checks the polygons of one file, and keeps count of how far their outlines run to and fro."""

    def __init__(self) -> None:
        self._left = float(_MOST_BEYOND)

    def check(self, polygons: Sequence[Any], height: int, width: int) -> None:
        """Raises ValueError with a short reason where one is no polygon, or filling the file's would take too long."""
        allowed = float(longest_outline(height, width))
        for polygon in polygons:
            if not isinstance(polygon, list | tuple) or len(polygon) < 6 or len(polygon) % 2:
                raise ValueError(f"a polygon is at least 3 points [x0, y0, x1, y1, ...], not {shown(polygon)}")
            points = _points(polygon)
            steps = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1)
            length = len(points) + float(steps.sum())
            allowed -= length
            if allowed < 0:
                raise ValueError(too_long(height, width))
            if length > _PIXELS_A_POINT * len(points):
                inside = np.clip(points, 0, (width, height))
                around = 2 * float((inside.max(axis=0) - inside.min(axis=0)).sum())
                self._left -= max(length - max(_AROUND * around, _PIXELS_A_POINT * len(points)), 0)
        if self._left < 0:
            raise ValueError("its polygons, and those before it, run to and fro far more than outlines of objects do")


def _points(polygon: Sequence[Any]) -> np.ndarray:
    """The points [N, 2], (x, y) in pixels; ValueError where they are not finite numbers, or far from any picture."""
    try:
        numeric = all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in polygon)
        points = np.array(polygon if numeric else [np.nan] * 6, np.float64).reshape(-1, 2)
    except OverflowError:
        points = np.full((3, 2), np.nan)
    if not (np.abs(points) < MAX_COORDINATE).all():
        raise ValueError("a polygon holds something that is not a finite number of pixels")
    return points
