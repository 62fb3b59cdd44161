"""Boxes beside the masks they come with: the usual ways to write them wrongly are seen before anything trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from vistr.data.segmentation import RLE, decode, encode
from vistr.errors import UserError

Boxes = NDArray[np.float64]
WHOLE, EXPLAINED, WRONG = 0.9, 0.8, 0.5
CLOSE = 2.0  # pixels an edge may be off, for objects of a few pixels
_DECODED = 100


@dataclass(frozen=True)
class _Sample:
    place: str
    rle: RLE
    box: tuple[float, float, float, float]


class BoxCheck:
    """Collects one frame of every annotation of a file, and says in the end whether boxes and masks belong together."""

    def __init__(self, file: str, key: str = "bboxes") -> None:
        self._file, self._key, self._samples = file, key, list[_Sample]()

    def add(
        self, place: str, rles: Sequence[RLE | None], boxes: Sequence[tuple[float, float, float, float] | None]
    ) -> None:
        """Take the first frame of an annotation that has both."""
        for rle, box in zip(rles, boxes, strict=True):
            if rle is not None and box is not None:
                self._samples.append(_Sample(place, rle, box))
                return

    def finish(self) -> str | None:
        """A warning if boxes do not fit their masks; UserError if they would fit under another convention."""
        samples = [sample for sample, box in zip(self._samples, self._of_masks(), strict=True) if box[2] and box[3]]
        if not samples:
            return None
        self._samples = samples
        truth, stated = self._of_masks(), np.array([sample.box for sample in samples], np.float64)
        sizes = np.array([sample.rle["size"][::-1] for sample in samples], np.float64)
        fitting = _fits(stated, truth, WRONG)
        share = float(fitting.mean())
        if share >= WHOLE:
            return None
        first = samples[int(np.flatnonzero(~fitting)[0])]
        where = f"{self._file}: {round((1 - share) * len(samples))} of {len(samples)} boxes do not fit their masks"
        for what, boxes in _read_otherwise(stated, sizes).items():
            if _fits(boxes, truth, EXPLAINED).mean() >= max(EXPLAINED, share):
                raise UserError(
                    f"{where}: they are {what}, the format wants [x, y, width, height] in pixels; convert them, or"
                    f" remove '{self._key}' (they are made from the masks then)"
                )
        if self._is_row_by_row(truth, stated):
            raise UserError(
                f"{where}: the run lengths were counted along rows, the format wants them down the columns"
                " (pycocotools.mask.encode(numpy.asfortranarray(mask)))"
            )
        return f"{where}, such as {first.place}; without '{self._key}' they are made from the masks."

    def _of_masks(self) -> Boxes:
        if not self._samples:
            return np.zeros((0, 4))
        found: Boxes = coco_mask.toBbox([sample.rle for sample in self._samples])
        return found

    def _is_row_by_row(self, truth: Boxes, stated: Boxes) -> bool:
        few = self._samples[:_DECODED]
        turned = [encode(decode(sample.rle).T.reshape(decode(sample.rle).shape)) for sample in few]
        return bool(_fits(coco_mask.toBbox(turned), stated[: len(few)], EXPLAINED).mean() >= EXPLAINED)


def _read_otherwise(boxes: Boxes, sizes: NDArray[np.float64]) -> dict[str, Boxes]:
    """The boxes as [x, y, width, height] in pixels, if they were written in other ways; `sizes` are (width, height)."""
    near, far = boxes[:, :2], boxes[:, 2:]
    ways = {
        "corners [x0, y0, x1, y1]": np.concatenate([near, far - near], axis=1),
        "centres [x, y, width, height]": np.concatenate([near - far / 2, far], axis=1),
    }
    scale = np.concatenate([sizes, sizes], axis=1)
    return {
        **ways,
        "shares of the picture from 0 to 1": boxes * scale,
        **{f"{name} from 0 to 1": way * scale for name, way in ways.items()},
    }


def _fits(boxes: Boxes, truth: Boxes, least: float) -> NDArray[np.bool_]:
    """Whether boxes overlap others by an IoU of `least`, or have their edges close to them: [N]."""
    ends, true_ends = boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:]
    shared = np.clip(np.minimum(ends, true_ends) - np.maximum(boxes[:, :2], truth[:, :2]), 0, None).prod(axis=1)
    union = np.clip(boxes[:, 2:], 0, None).prod(axis=1) + truth[:, 2:].prod(axis=1) - shared
    off = np.abs(np.concatenate([boxes[:, :2] - truth[:, :2], ends - true_ends], axis=1)).max(axis=1)
    fits: NDArray[np.bool_] = (shared >= least * union) | (off <= CLOSE)
    return fits
