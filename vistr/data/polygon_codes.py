"""Polygons as bytes: taken out of a file's text, many at a time, and filled when a mask is asked for."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from vistr.data.polygons import MAX_COORDINATE
from vistr.data.segmentation import RLE

# Hundredths of a pixel in 32 bits, as COCO writes them, or 64-bit floats: dividing a whole number by 100 gives the very
# float that its text stands for. The first byte says which; no RLE begins with one of these.
HUNDREDTHS, FLOATS = b"\0", b"\1"
_TEXT = re.compile(rb'"segmentation"\s*:\s*\[\s*(\[[-+0-9.eE,\[\]\s]*\])\s*\]')
_BETWEEN = re.compile(rb"\]\s*,\s*\[")
_CHUNK = 1 << 20  # characters parsed at once


class Masks(NamedTuple):
    """Masks' polygons: codes, and of their outlines corners `[n, 4]` (left, top, right, bottom) and lengths `[n]`."""

    codes: list[bytes]
    corners: NDArray[np.float64]
    lengths: NDArray[np.float64]


def is_polygons(code: bytes) -> bool:
    """Whether a code that is not empty is of polygons, not an RLE."""
    return code[:1] in (HUNDREDTHS, FLOATS)


def pack(numbers: NDArray[np.float64], lengths: NDArray[np.int64], counts: NDArray[np.int64]) -> Masks:
    """Masks of `counts` polygons each, whose `lengths` numbers [x0, y0, x1, y1, ...] follow one another in `numbers`.

    Raises ValueError where one is no polygon, or far from any picture.
    """
    if not len(counts):
        return Masks([], np.zeros((0, 4)), np.zeros(0))
    if (lengths % 2).any() or lengths.min() < 6 or counts.min() < 1 or not (np.abs(numbers) < MAX_COORDINATE).all():
        raise ValueError("a polygon is at least 3 points [x0, y0, x1, y1, ...]")
    points, ends = numbers.reshape(-1, 2), np.cumsum(lengths) // 2
    previous = np.arange(-1, len(points) - 1)
    previous[ends - lengths // 2] = ends - 1
    steps = np.abs(points - points[previous]).max(axis=1) + 1
    last_polygons = np.cumsum(counts)
    firsts = np.append(0, ends)[last_polygons - counts]  # points
    corners = np.concatenate([np.minimum.reduceat(points, firsts), np.maximum.reduceat(points, firsts)], axis=1)
    hundredths = np.rint(numbers * 100)
    exact = np.logical_and.reduceat(hundredths / 100 == numbers, 2 * firsts).tolist()
    short, long, sides = hundredths.astype(np.int32).tobytes(), numbers.tobytes(), lengths.astype(np.uint32).tobytes()
    at = [*(2 * firsts).tolist(), len(numbers)]
    codes = []
    for k, (end, count) in enumerate(zip(last_polygons.tolist(), counts.tolist(), strict=True)):
        head = count.to_bytes(4, "little") + sides[4 * (end - count) : 4 * end]
        first, last = at[k], at[k + 1]
        code = (
            HUNDREDTHS + head + short[4 * first : 4 * last] if exact[k] else FLOATS + head + long[8 * first : 8 * last]
        )
        codes.append(code)
    return Masks(codes, corners, np.add.reduceat(steps, firsts))


def fill(code: bytes, height: int, width: int) -> RLE:
    """The union of the polygons that `code` holds, as pycocotools fills them."""
    count = int.from_bytes(code[1:5], "little")
    lengths = np.frombuffer(code, np.uint32, count, 5)
    at = 5 + 4 * count
    short = code[:1] == HUNDREDTHS
    numbers = np.frombuffer(code[at:], np.int32) / 100 if short else np.frombuffer(code[at:], np.float64)
    polygons = [part.tolist() for part in np.split(numbers, np.cumsum(lengths)[:-1])]
    filled = coco_mask.frPyObjects(polygons, height, width)
    merged: RLE = filled[0] if count == 1 else coco_mask.merge(filled)
    return merged


class TakenPolygons:
    """The polygons of an annotation file's text, which take a tenth of the memory of Python's numbers.

    `text` is the file's with [[k]], which is no polygon, in place of the k-th `segmentation` that is polygons; `masks`
    are these. Raises ValueError where one cannot be read: the file is to be read as it is, for a sentence about it.
    """

    def __init__(self, data: bytes) -> None:
        self._parsed: list[Masks] = []
        self._waiting: list[bytes] = []
        self._characters, self._taken = 0, 0
        self.text = _TEXT.sub(self._take, data)
        self._parse()
        codes, corners, lengths = zip(*self._parsed, strict=True)
        self.masks = Masks(list(chain.from_iterable(codes)), np.concatenate(corners), np.concatenate(lengths))
        self._parsed.clear()

    def _take(self, match: re.Match[bytes]) -> bytes:
        text = match[1]
        self._waiting.append(text)
        self._characters += len(text)
        if self._characters > _CHUNK:
            self._parse()
        self._taken += 1
        return b'"segmentation":[[%d]]' % (self._taken - 1)

    def _parse(self) -> None:
        masks = [[t[1:-1]] if t.count(b"[") == 1 else _BETWEEN.split(t[1:-1]) for t in self._waiting]
        polygons = list(chain.from_iterable(masks))
        counts = np.fromiter(map(len, masks), np.int64, len(masks))
        lengths = np.fromiter((polygon.count(b",") + 1 for polygon in polygons), np.int64, len(polygons))
        self._parsed.append(pack(_numbers(polygons, int(lengths.sum())), lengths, counts))
        self._waiting, self._characters = [], 0


def _numbers(texts: Sequence[bytes], count: int) -> NDArray[np.float64]:
    """The numbers of texts such as b"1.5,2"; ValueError where these are not so many."""
    text = b",".join(texts)
    if text.count(b" ") == text.count(b", "):
        text = text.replace(b", ", b",")
    numbers = _short_numbers(text)
    if numbers is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of text that is no number, which the count tells
            numbers = np.fromstring(text, np.float64, sep=",")
    if len(numbers) != count:
        raise ValueError("a polygon holds what is no number")
    return numbers


def _short_numbers(text: bytes) -> NDArray[np.float64] | None:
    """Numbers of up to 5 digits before the point and 2 behind it, in a quarter of NumPy's time; None for others."""
    characters = np.frombuffer(text, np.uint8)
    digits = np.append(characters - np.uint8(ord("0")), np.uint8(0))
    marks = np.append(np.flatnonzero((characters == ord(",")) | (characters == ord("."))), len(text))
    are_ends = np.append(characters[marks[:-1]] == ord(","), True)
    of_end = np.flatnonzero(are_ends)
    ends = marks[of_end]
    starts = np.append(0, ends[:-1] + 1)
    with_point = ~are_ends[of_end - 1] & (of_end > 0)
    points = np.where(with_point, marks[of_end - 1], ends)
    before, behind = points - starts, ends - points - with_point
    if (
        np.count_nonzero(digits[:-1] <= 9) + len(marks) - 1 != len(text)
        or len(marks) - len(ends) != np.count_nonzero(with_point)
        or not 1 <= before.min() <= before.max() <= 5
        or not (behind[with_point] >= 1).all()
        or behind.max() > 2
    ):
        return None
    hundredths = np.zeros(len(ends), np.int32)
    for place in range(-2, int(before.max())):
        there = before > place if place >= 0 else behind >= -place
        # The digit of 10 to the power of `place`.
        at = np.minimum(points - 1 - place if place >= 0 else points - place, len(text))
        hundredths += np.where(there, digits[at], 0).astype(np.int32) * np.int32(10 ** (place + 2))
    return hundredths / 100
