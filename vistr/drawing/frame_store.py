"""The frames a report shows: evenly picked from a stream of unknown length, as many as fit, kept on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO


class FrameStore:
    """Keeps every `stride`-th record of a stream of unknown length, in at most `max_bytes`.

    When the records kept exceed that, every other one is dropped and `stride` doubles, so that they stay evenly
    spread. They lie in a temporary file in `folder`; memory holds a number or two for each of those kept.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.stride = 1
        self._max_bytes = max_bytes
        self._kept: list[tuple[int, int]] = []  # where a record starts, and its length
        self._num_bytes = 0
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> FrameStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._kept)

    def wants(self, frame: int) -> bool:
        """Whether the frame of this number is one to add."""
        return frame % self.stride == 0

    def add(self, record: bytes) -> None:
        """Add the record of the next frame that is wanted."""
        self._kept.append((self._file.tell(), len(record)))
        self._file.write(record)
        self._num_bytes += len(record)
        while self._num_bytes > self._max_bytes and len(self._kept) > 1:
            self._kept = self._kept[::2]
            self._num_bytes = sum(length for _, length in self._kept)
            self.stride *= 2

    def records(self) -> Iterator[bytes]:
        """The frames, in order."""
        for start, length in self._kept:
            self._file.seek(start)
            yield self._file.read(length)
