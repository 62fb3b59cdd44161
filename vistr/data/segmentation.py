"""Masks as run-length codes (RLE): the ways YouTube-VIS files write them, and the overlap of sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from vistr.data.polygons import Outlines
from vistr.data.run_lengths import RUNS_AS_TEXT, run_length_sums, run_lengths_in
from vistr.errors import shown

# pycocotools keeps run lengths in 32 bits.
MAX_PIXELS = 2**31


class RLE(TypedDict):
    """A compressed run-length code over the columns of a mask: `size` is [height, width]."""

    size: list[int]
    counts: bytes


def to_rle(segmentation: Any, height: int, width: int, outlines: Outlines | None = None) -> RLE | None:
    """One frame's mask of an annotation or result as RLE, None where the object is absent (None, {}, []).

    Takes a list of polygons [x0, y0, x1, y1, ...] in pixels (their union), uncompressed RLE (`counts` a list)
    and compressed RLE (`counts` a str or bytes). `outlines` bounds the work on polygons of all masks that are given it:
    one for each file. Raises ValueError with a short reason for anything else, a code whose runs do not fill its size,
    and an RLE of another size than height x width.
    """
    if segmentation is None or (isinstance(segmentation, dict | list) and not segmentation):
        return None
    if not 0 < height * width < MAX_PIXELS:
        raise ValueError(f"a mask of {width}x{height} pixels is none, or too large")
    if isinstance(segmentation, list):
        (outlines or Outlines()).check(segmentation, height, width)
        merged: RLE = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
        return merged
    if isinstance(segmentation, dict):
        return _from_code(segmentation, height, width)
    raise ValueError(f"a mask is a list of polygons, an RLE or null, not {shown(segmentation)}")


def rle_size(segmentation: Any) -> tuple[int, int]:
    """The (height, width) an RLE says it has; ValueError where it says none."""
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    if not isinstance(size, list | tuple) or len(size) != 2 or not all(_is_count(side) for side in size):
        raise ValueError(f"an RLE needs a size [height, width], this one has {shown(size)}")
    return int(size[0]), int(size[1])


def _from_code(code: dict[str, Any], height: int, width: int) -> RLE:
    size = rle_size(code)
    if size != (height, width):
        raise ValueError(f"the mask's size [height, width] is {list(size)}, the video's {[height, width]}")
    counts = code.get("counts")
    packed: bytes | None = None
    if isinstance(counts, str) and counts.startswith(RUNS_AS_TEXT):
        counts = run_lengths_in(counts)
    if isinstance(counts, str | bytes):
        try:
            packed = counts.encode("ascii") if isinstance(counts, str) else counts
        except UnicodeEncodeError:
            raise ValueError("the RLE's counts hold characters that no RLE has") from None
        total = int(run_length_sums(packed, [len(packed)])[0])
    elif isinstance(counts, np.ndarray) or (isinstance(counts, list) and all(_is_count(run) for run in counts)):
        # None that is longer than the mask by much, so that no sum is cut off at 64 bits.
        total = (
            sum(min(run, MAX_PIXELS) for run in counts)
            if isinstance(counts, list)
            else int(np.minimum(counts, MAX_PIXELS).sum())
        )
    else:
        raise ValueError(f"an RLE's counts are a string or a list of run lengths, not {shown(counts)}")
    # pycocotools trusts the runs and reads or writes beyond its buffers where they are wrong.
    if total != height * width:
        raise ValueError(f"the RLE's runs cover {total} pixels, its size {height * width}")
    if packed is not None:
        return {"size": [height, width], "counts": packed}
    converted: RLE = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return converted


def compressed_rles(segmentations: Sequence[Any], height: int, width: int) -> list[RLE | None] | None:
    """What `to_rle` makes of many frames' masks, at a tenth of its time, where all of them are compressed RLE.

    None where one is anything else or is not whole: `to_rle` says what is wrong with it.
    """
    if not 0 < height * width < MAX_PIXELS:
        return None
    size = [height, width]
    texts: list[str] = []
    for one in segmentations:
        if one is None or one == [] or one == {}:
            continue
        counts, stated = (one.get("counts"), one.get("size")) if isinstance(one, dict) else (None, None)
        if not isinstance(counts, str) or not counts or stated != size or set(map(type, stated)) != {int}:
            return None
        texts.append(counts)
    if not texts:
        return [None] * len(segmentations)
    try:
        codes = [text.encode("ascii") for text in texts]
        sums = run_length_sums(b"".join(codes), [len(code) for code in codes])
    except ValueError:
        return None
    if (sums != height * width).any():
        return None
    remaining = iter(codes)
    return [{"size": list(size), "counts": next(remaining)} if one else None for one in segmentations]


def decode(rle: RLE) -> NDArray[np.uint8]:
    """The mask [height, width] of an RLE: 1 inside, 0 outside."""
    mask: NDArray[np.uint8] = coco_mask.decode(rle)
    return mask


def encode(mask: NDArray[Any]) -> RLE:
    """The RLE of a mask [height, width]: everything that is not 0 is inside."""
    rle: RLE = coco_mask.encode(np.asfortranarray(mask, dtype=bool).view(np.uint8))
    return rle


def to_json(rle: RLE) -> dict[str, Any]:
    """An RLE as YouTube-VIS files hold it: plain integers and a str."""
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def area(rle: RLE) -> int:
    """The number of pixels inside."""
    return int(coco_mask.area(rle))


def bounds(rle: RLE) -> tuple[float, float, float, float]:
    """The box (x, y, width, height) of the pixels inside, all 0 where there are none."""
    x, y, width, height = coco_mask.toBbox(rle).tolist()
    return x, y, width, height


def sequence_iou(
    first: Sequence[Sequence[RLE | None]], second: Sequence[Sequence[RLE | None]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Overlap of every sequence of masks in `first` with every one in `second`: IoU and union.

    Both are [first, second], the union in pixels. IoU as YouTube-VIS defines it: intersections summed over
    the frames, divided by unions summed over the frames. Two sequences are compared over the shorter one's
    frames. A frame in which one of the two is absent adds the other's area to the union; a frame whose two
    masks differ in size adds nothing. IoU is 0 where the union is.
    """
    # The same sequence several times, as of an annotation that a file repeats, is compared once.
    different = {id(sequence): sequence for sequence in second}
    if len(different) < len(second):
        places = {key: place for place, key in enumerate(different)}
        columns = [places[id(sequence)] for sequence in second]
        iou, union = sequence_iou(first, list(different.values()))
        return iou[:, columns], union[:, columns]
    shape = (len(first), len(second))
    intersection, union = np.zeros(shape), np.zeros(shape)
    for frame in range(max(map(len, second), default=0)):
        rows = [row for row, sequence in enumerate(first) if frame < len(sequence)]
        columns = [column for column, sequence in enumerate(second) if frame < len(sequence)]
        if rows and columns:
            ours, theirs = [first[row][frame] for row in rows], [second[column][frame] for column in columns]
            shared, joined = _frame_overlap(ours, theirs)
            intersection[np.ix_(rows, columns)] += shared
            union[np.ix_(rows, columns)] += joined
    return np.divide(intersection, union, out=np.zeros(shape), where=union > 0), union


def _frame_overlap(
    first: list[RLE | None], second: list[RLE | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels of the intersection and of the union of every pair of one frame's masks."""
    rows = [row for row, rle in enumerate(first) if rle is not None]
    columns = [column for column, rle in enumerate(second) if rle is not None]
    areas = [np.array([area(rle) if rle else 0 for rle in side], np.float64) for side in (first, second)]
    total = areas[0][:, None] + areas[1][None, :]
    shared = np.zeros_like(total)
    if rows and columns:
        ours, theirs = [rle for rle in first if rle is not None], [rle for rle in second if rle is not None]
        sizes = [np.array([rle["size"] for rle in side]) for side in (ours, theirs)]
        comparable = (sizes[0][:, None] == sizes[1][None, :]).all(-1)
        pairs = np.ix_(rows, columns)
        total[pairs] *= comparable
        ratio = np.where(comparable, coco_mask.iou(ours, theirs, [0] * len(theirs)), 0)
        # The ratio is i / (total - i); i is a whole number, so rounding gives it back exactly.
        shared[pairs] = np.rint(ratio * total[pairs] / (1 + ratio))
    return shared, total - shared


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 0)
