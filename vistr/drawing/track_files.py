"""Tracks as files, written piece by piece: `results.json` in the official format and `tracks.csv`."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pycocotools import mask as coco_mask

from vistr.data.segmentation import RLE, area, to_json
from vistr.text.csv_cells import cells

RESULTS, TABLE = "results.json", "tracks.csv"
COLUMNS = ("video", "frame", "track", "category", "score", "x", "y", "width", "height")


class TrackFiles:
    """Writes `results.json` and `tracks.csv` into a folder; they appear together when everything went well.

    Entry n of results.json, counted from 1 within its video, is track n of tracks.csv. Use it with `with`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._num_entries = 0

    def __enter__(self) -> TrackFiles:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._files = {
            name: (self._folder / f".{name}").open("w", encoding="utf-8", newline="") for name in (RESULTS, TABLE)
        }
        self._json, self._table = self._files[RESULTS], csv.writer(self._files[TABLE], lineterminator="\n")
        self._json.write("[")
        self._table.writerow(COLUMNS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._json.write("]")
                for file in self._files.values():
                    file.close()  # writes what was held back: a full disk may show only now
                for name in self._files:
                    os.replace(self._folder / f".{name}", self._folder / name)
        finally:
            for name, file in self._files.items():
                with suppress(OSError):
                    file.close()
                (self._folder / f".{name}").unlink(missing_ok=True)

    def add_track(
        self, *, video_id: int, category_id: int, score: float, masks: Iterable[tuple[int, RLE]], num_frames: int
    ) -> None:
        """Write one entry of results.json: `masks` are (frame, mask) in the frames' order, the others are null."""
        entry = json.dumps({"video_id": video_id, "score": score, "category_id": category_id})
        self._json.write(f'{"," if self._num_entries else ""}\n{entry[:-1]}, "segmentations": [')
        done = 0
        for frame, rle in masks:
            self._write_nulls(frame - done, done)
            self._json.write(f"{', ' if frame else ''}{json.dumps(to_json(rle))}")
            done = frame + 1
        self._write_nulls(num_frames - done, done)
        self._json.write("]}")
        self._num_entries += 1

    def add_frame(self, video: str, frame: int, seen: Iterable[tuple[int, str, float, RLE]]) -> None:
        """Write one frame's rows of tracks.csv from (track, category, the frame's score, mask); boxes are pixels."""
        for track, category, score, rle in seen:
            if area(rle):
                box = [int(side) for side in coco_mask.toBbox(rle)]
                self._table.writerow(cells((video, frame, track, category, f"{score:.4f}", *box)))

    def _write_nulls(self, count: int, done: int) -> None:
        if count > 0:
            self._json.write(f"{', ' if done else ''}{', '.join(['null'] * count)}")
