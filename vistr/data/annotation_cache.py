"""Packed copies of large annotation files, in the user's cache folder: read in a second instead of ten."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vistr.data.packed import NUMBERS, CodesInFile, PackedAnnotations
from vistr.data.videos import Category, Video
from vistr.files import replacing, user_cache
from vistr.runtime import system
from vistr.runtime.free_memory import give_back_free_memory, keep_free_memory

logger = logging.getLogger(__name__)


# Names the layout below: to be changed with it. Copies of another layout are replaced.
MAGIC = b"vistr annotations 2\n"
HEAD_BYTES = len(MAGIC) + 4 + 8  # then the checksum of all that follows, and the length of the JSON that comes first
MIN_BYTES = 4_000_000  # smaller files are read as fast as their copy
SETTLED_SECONDS = 2.0  # a file may change again within one tick of the clock that its time is taken from
KEPT_DAYS = 60
CHUNK = 1 << 23


class Contents(NamedTuple):
    """Content of an annotation file: its videos without annotations, and these."""

    categories: tuple[Category, ...]
    videos: tuple[Video, ...]
    packed: PackedAnnotations


class AnnotationCache:
    """The packed copy of one annotation file, as the file is now: path, size and time of its last change.

    `kind` is the format that the file is read as.
    """

    def __init__(self, source: Path, kind: str = "") -> None:
        self._source, self._key = source, _state(source)
        name = hashlib.sha256(f"{source.resolve()}{kind}".encode("utf-8", "surrogateescape")).hexdigest()[:24]
        self.path = user_cache() / "annotations" / f"{name}.packed"

    def contents(self, read: Callable[[], Contents]) -> Contents:
        """The copy's content, or what `read` makes of the file, of which a copy is written. Logs the file's warning."""
        contents = self.load()
        if contents is None:
            keep_free_memory()
            with _no_collection():
                contents = read()
            contents = self.keep(contents) or contents
            give_back_free_memory()
        if contents.packed.warning:
            logger.warning("%s", contents.packed.warning)
        return contents

    def load(self) -> Contents | None:
        """The copy's content; None if there is no copy, or it is damaged or of an earlier state of the file."""
        try:
            return self._load()
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, contents: Contents) -> Contents | None:
        """Write a copy and load it; None if the file is small or has just changed, or the copy cannot be written."""
        if self._key is None or self._key != _state(self._source) or not _is_worth_it(self._key):
            return None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._prune()
            with replacing(self.path) as draft:
                self._write(draft, contents)
        except OSError as error:
            logger.info("no packed copy of %s: %s cannot be written (%s)", self._source, self.path, error.strerror)
            return None
        return self.load()

    def _load(self) -> Contents | None:
        with self.path.open("rb") as file:
            if os.fstat(file.fileno()).st_uid != system.user_id():
                return None
            head = file.read(HEAD_BYTES)
            checksum, length = (int.from_bytes(part, "little") for part in (head[-12:-8], head[-8:]))
            if not head.startswith(MAGIC) or _checksum(file) != checksum:
                return None
            file.seek(HEAD_BYTES)
            about: dict[str, Any] = json.loads(file.read(length))
            if about["source"] != self._key:
                return None
            count, frames = about["annotations"], about["frames"]
            entries = np.fromfile(file, np.int64, NUMBERS * count).reshape(count, NUMBERS)
            ends = np.fromfile(file, np.int64, frames)
            boxes = np.fromfile(file, np.float64, 4 * frames).reshape(frames, 4)
            areas = np.fromfile(file, np.float64, frames)
            codes = CodesInFile(open(os.dup(file.fileno()), "rb"), file.tell())  # noqa: SIM115
        with suppress(OSError):
            os.utime(self.path)
        categories = tuple(Category(identifier, name) for identifier, name in about["categories"])
        videos = [Video(number, height, width, tuple(names), ()) for number, height, width, names in about["videos"]]
        packed = PackedAnnotations(entries, ends, boxes, areas, codes, about["warning"])
        return Contents(categories, tuple(videos), packed)

    def _write(self, path: Path, contents: Contents) -> None:
        categories, videos, packed = contents
        about = {
            "source": self._key,
            "annotations": len(packed.entries),
            "frames": len(packed.ends),
            "categories": [[category.id, category.name] for category in categories],
            "videos": [[video.id, video.height, video.width, video.file_names] for video in videos],
            "warning": packed.warning,
        }
        text = json.dumps(about).encode()
        numbers = (part.tobytes() for part in (packed.entries, packed.ends, packed.boxes, packed.areas))
        end = int(packed.ends[-1]) if len(packed.ends) else 0
        codes = (packed.codes(start, min(start + CHUNK, end)) for start in range(0, end, CHUNK))
        checksum = 0
        with path.open("wb") as file:
            file.write(MAGIC + bytes(4) + len(text).to_bytes(8, "little"))
            for part in chain([text], numbers, codes):
                checksum = zlib.crc32(part, checksum)
                file.write(part)
            file.seek(len(MAGIC))
            file.write(checksum.to_bytes(4, "little"))

    def _prune(self) -> None:
        """Drop copies that nobody has opened for long."""
        for path in self.path.parent.glob("*.packed"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > KEPT_DAYS * 86400:
                    path.unlink()


def _state(source: Path) -> list[Any] | None:
    """Where a file is, its bytes and the time of its last change in ns; None where there is no such file."""
    try:
        status = source.stat()
    except OSError:
        return None
    return [str(source.resolve()), status.st_size, status.st_mtime_ns]


def _is_worth_it(state: list[Any]) -> bool:
    return bool(state[1] >= MIN_BYTES and time.time() - state[2] / 1e9 > SETTLED_SECONDS)


def _checksum(file: Any) -> int:
    """The CRC-32 of the rest of a file."""
    value = 0
    while chunk := file.read(CHUNK):
        value = zlib.crc32(chunk, value)
    return value


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's search for cycles, which goes through millions of new objects again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
