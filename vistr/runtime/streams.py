"""Standard output and error of a program whose reader may leave: `| head -1` ends nothing and prints nothing."""

from __future__ import annotations

import io
import sys
from typing import BinaryIO, TextIO, cast


class _Patient(io.FileIO):
    """A stream that takes whatever is written to it, also when nobody reads it any more."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            return int(super().write(data) or 0)
        except BrokenPipeError:
            return memoryview(data).nbytes


def outlive_readers() -> None:
    """Have this process go on as if somebody read, when the one who reads its output leaves: a run is worth more.

    Only where output goes to the process's own streams; a notebook or a test that has put others there keeps them.
    """
    sys.stdout, sys.stderr = (_patient(stream, own) for stream, own in ((sys.stdout, 1), (sys.stderr, 2)))


def _patient(stream: TextIO, own: int) -> TextIO:
    try:
        if stream.fileno() != own:
            return stream
        stream.flush()
    except (AttributeError, OSError, ValueError):  # closed, none at all, or not a file
        return stream
    raw = _Patient(own, "w", closefd=False)
    at_once = bool(getattr(stream, "write_through", False))  # as PYTHONUNBUFFERED asks for
    return io.TextIOWrapper(
        cast(BinaryIO, raw if at_once else io.BufferedWriter(cast(io.RawIOBase, raw))),
        stream.encoding,
        stream.errors,
        line_buffering=bool(getattr(stream, "line_buffering", False)),
        write_through=at_once,
    )
