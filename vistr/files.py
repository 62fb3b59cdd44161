"""Files that are there whole or not at all, and the folder for what can be made again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside `path` to write to, which takes its place when the body ends well and is removed otherwise.

    A reader, or a crash, sees the whole new file or the whole old one.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        with suppress(OSError):
            draft.unlink()


def user_cache() -> Path:
    """Our part of the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vistr"
