"""Annotations of many frames in few bytes: numbers in arrays, the masks' codes in one block or in a file.

A file like YouTube-VIS's, OVIS's or COCO's holds 100,000 to 900,000 masks. As Python objects these take 0.2 to 2 GB in
every process; packed, 48 bytes a frame are in memory, and the codes stay on the disk once there is a packed copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from vistr.data.polygon_codes import fill, is_polygons
from vistr.data.segmentation import RLE
from vistr.data.videos import Annotation, Box, Video
from vistr.runtime import system

Item = TypeVar("Item")
NUMBERS = 5
"""Of an annotation: id, index of its video, category id, flags, first frame."""
CROWD, IGNORED = 1, 2
"""The flags."""


class PackedSequence(Sequence[Item]):
    """Values that are made when they are asked for, such as one a frame."""

    __slots__ = ("_length", "_start", "_value_at")

    def __init__(self, value_at: Callable[[int], Item], start: int, length: int) -> None:
        self._value_at, self._start, self._length = value_at, start, length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, frame: int) -> Item: ...
    @overload
    def __getitem__(self, frame: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, frame: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(frame, slice):
            return tuple(self[k] for k in range(*frame.indices(self._length)))
        place = frame + self._length if frame < 0 else frame
        if not 0 <= place < self._length:
            raise IndexError(frame)
        return self._value_at(self._start + place)

    def __iter__(self) -> Iterator[Item]:
        return map(self._value_at, range(self._start, self._start + self._length))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


class CodesInFile:
    """The bytes of an open file from `start` on; they stay readable when the file is replaced or removed."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start

    def __call__(self, first: int, end: int) -> bytes:
        return system.read_at(self._file.fileno(), end - first, self._start + first)


@dataclass(frozen=True)
class PackedAnnotations:
    """Frames of all annotations, one after the other.

    entries `[A, 5]` int64: an annotation's NUMBERS; ends `[F]` int64: where a frame's code ends among the codes (a code
    of no bytes: absent); boxes `[F, 4]` and areas `[F]` float64, nan where there is none; codes: the bytes between two
    places, of compressed RLE or as `polygon_codes.pack` gives them; warning: a sentence for whoever uses them.
    """

    entries: NDArray[np.int64]
    ends: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    codes: Callable[[int, int], bytes]
    warning: str | None = None

    def of_videos(self, videos: Sequence[Video]) -> tuple[Video, ...]:
        """The videos with their annotations, which are made when they are asked for: they are many."""
        ignored = (self.entries[:, 3] & IGNORED) > 0
        ordered = self.entries[np.lexsort((ignored, self.entries[:, 1]))]
        # Of every video first those that count, then those that are ignored.
        places = 2 * ordered[:, 1] + ((ordered[:, 3] & IGNORED) > 0)
        counts = np.bincount(places, minlength=2 * len(videos)).tolist()

        def annotation(row: int) -> Annotation:
            identifier, index, category_id, flags, start = ordered[row].tolist()
            video = videos[index]
            return Annotation(
                identifier,
                category_id,
                PackedSequence(self._mask_of([video.height, video.width]), start, len(video)),
                PackedSequence(self._box, start, len(video)),
                PackedSequence(self._area, start, len(video)),
                bool(flags & CROWD),
            )

        found, row = [], 0
        for index, video in enumerate(videos):
            count, without = counts[2 * index : 2 * index + 2]
            counted = PackedSequence(annotation, row, count)
            others = PackedSequence(annotation, row + count, without) if without else ()
            found.append(Video(video.id, video.height, video.width, video.file_names, counted, others))
            row += count + without
        return tuple(found)

    def _mask_of(self, size: list[int]) -> Callable[[int], RLE | None]:
        def mask(frame: int) -> RLE | None:
            first, end = int(self.ends[frame - 1]) if frame else 0, int(self.ends[frame])
            if end == first:
                return None
            code = self.codes(first, end)
            return fill(code, *size) if is_polygons(code) else {"size": list(size), "counts": code}

        return mask

    def _box(self, frame: int) -> Box | None:
        x, y, width, height = self.boxes[frame].tolist()
        return (x, y, width, height) if x == x else None

    def _area(self, frame: int) -> float | None:
        area = float(self.areas[frame])
        return area if area == area else None


@dataclass
class Packer:
    """Packs annotations as they are read."""

    entries: list[tuple[int, ...]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    boxes: list[Any] = field(default_factory=list)
    areas: list[Any] = field(default_factory=list)
    codes: bytearray = field(default_factory=bytearray)

    def add(
        self,
        identifier: int,
        video: int,
        category_id: int,
        iscrowd: bool,
        masks: Sequence[RLE | None],
        boxes: Sequence[Box | None],
        areas: Sequence[float | None],
    ) -> None:
        """Add an annotation of the video of index `video`, with one mask, box and area a frame."""
        self.entries.append((identifier, video, category_id, CROWD * iscrowd, len(self.ends)))
        for mask in masks:
            self.codes += mask["counts"] if mask else b""
            self.ends.append(len(self.codes))
        nothing = (np.nan,) * 4
        numbers = chain.from_iterable(box or nothing for box in boxes)
        self.boxes.append(np.fromiter(numbers, np.float64, 4 * len(boxes)).reshape(-1, 4))
        self.areas.append(np.fromiter((np.nan if area is None else area for area in areas), np.float64, len(areas)))

    def packed(self, warning: str | None = None) -> PackedAnnotations:
        """All that was added."""
        block = self.codes
        return PackedAnnotations(
            np.array(self.entries, np.int64).reshape(-1, NUMBERS),
            np.array(self.ends, np.int64),
            np.concatenate([np.zeros((0, 4)), *self.boxes]),
            np.concatenate([np.zeros(0), *self.areas]),
            lambda first, end: bytes(block[first:end]),
            warning,
        )
