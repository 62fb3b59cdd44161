"""The masks of a COCO file as codes: polygons, compressed and uncompressed RLE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistr.data.polygon_codes import TakenPolygons, pack
from vistr.data.polygons import Outlines, longest_outline, too_long
from vistr.data.segmentation import bounds, to_rle
from vistr.data.values import is_finite
from vistr.errors import UserError, shown


class CocoMasks:
    """Codes, their lengths `[A]` (0: no pixel) and boxes `[A, 4]` (x, y, width, height) of annotations.

    ids `[A]` are the annotations', sizes `[A, 2]` the (height, width) of their pictures; `taken` are the polygons that
    were taken out of the file's text, None where none were. The file's own boxes are not looked at: they are made from
    the masks.
    """

    def __init__(
        self, path: Path, ids: NDArray[np.int64], sizes: NDArray[np.int64], taken: TakenPolygons | None
    ) -> None:
        self._path, self._ids, self._sizes, self._taken = path, ids, sizes, taken
        self._codes: list[bytes] = [b""] * len(ids)
        self._corners, self._outlines = np.zeros((len(ids), 4)), Outlines()
        self._without = self._outside = 0
        self.lengths, self.boxes = np.zeros(len(ids), np.int64), np.zeros((len(ids), 4))

    def read(self, entries: list[Any]) -> NDArray[np.float64]:
        """Encode the entries' masks; returns the areas `[A]` that the file states, nan where it states none."""
        rows, places = [], []
        for row, entry in enumerate(entries):
            segmentation = entry.get("segmentation")
            if self._taken is not None and type(segmentation) is list and _is_place(segmentation):
                rows.append(row)
                places.append(segmentation[0][0])
            else:
                self._add(row, segmentation)
        if self._taken is not None and rows:
            self._add_taken(self._taken, np.array(rows), np.array(places))
        self._make_boxes()
        areas = [entry.get("area") for entry in entries]
        for row, area in enumerate(areas):
            if area is not None and not (is_finite(area) and area >= 0):
                raise UserError(f"{self._place(row)}: an area is a number of pixels, not {shown(area, 40)}")
        return np.array([np.nan if area is None else area for area in areas], np.float64)

    def joined(self) -> bytes:
        """All codes as one byte string; they are freed here."""
        codes, self._codes, self._taken = b"".join(self._codes), [], None
        return codes

    def warning(self) -> str | None:
        """A sentence where annotations were left out."""
        parts = []
        if self._without:
            parts.append(f"{self._without} have no segmentation, only a box or nothing")
        if self._outside:
            parts.append(f"{self._outside} no pixel inside their picture")
        many = self._without + self._outside
        return f"{self._path}: {many} annotations are left out: {', '.join(parts)}." if parts else None

    def _add(self, row: int, segmentation: Any) -> None:
        if segmentation is None or segmentation in ([], {}):
            self._without += 1
            return
        height, width = self._sizes[row].tolist()
        try:
            if isinstance(segmentation, list):
                self._outlines.check(segmentation, height, width)
                lengths = np.array([len(polygon) for polygon in segmentation])
                masks = pack(np.concatenate(segmentation).astype(np.float64), lengths, np.array([len(segmentation)]))
                self._codes[row], self._corners[row] = masks.codes[0], masks.corners[0]
            else:
                rle = to_rle(segmentation, height, width)
                assert rle is not None
                left, top, box_width, box_height = bounds(rle)
                self._codes[row] = rle["counts"]
                self._corners[row] = left, top, left + box_width, top + box_height
        except ValueError as error:
            raise UserError(f"{self._place(row)}: {error}") from None

    def _add_taken(self, taken: TakenPolygons, rows: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        codes, corners, lengths = taken.masks
        self._corners[rows] = corners[places]
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            self._codes[row] = codes[place]
        heights, widths = self._sizes[rows].T
        if len(wrong := np.flatnonzero(lengths[places] > longest_outline(heights, widths))):
            row = int(rows[wrong[0]])
            raise UserError(f"{self._place(row)}: {too_long(*self._sizes[row].tolist())}")

    def _make_boxes(self) -> None:
        coded = np.array([len(code) for code in self._codes], np.int64)
        ends = self._sizes[:, ::-1]
        near, far = (np.clip(side, 0, ends) for side in (self._corners[:, :2], self._corners[:, 2:]))
        self.boxes = np.concatenate([near, far - near], axis=1)
        inside = (far > near).all(axis=1)
        self._outside = int((~inside & (coded > 0)).sum())
        self.lengths = np.where(inside, coded, 0)
        self._codes = [code if keeps else b"" for code, keeps in zip(self._codes, inside.tolist(), strict=True)]
        drawn = inside & (self._sizes.min(axis=1) > 1)
        if drawn.any() and self._corners[drawn].max() <= 1:
            raise UserError(f"{self._path}: the polygons are shares of the picture from 0 to 1: pixels are needed")

    def _place(self, row: int) -> str:
        return f"{self._path}: annotation {self._ids[row]}"


def _is_place(segmentation: list[Any]) -> bool:
    """Whether [[k]] stands for the k-th polygons that were taken."""
    return len(segmentation) == 1 and type(segmentation[0]) is list and len(segmentation[0]) == 1
