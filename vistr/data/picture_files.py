"""Which files of a folder are pictures, and in which order they come."""

from __future__ import annotations

import re
from pathlib import Path

from vistr.errors import UserError

IMAGES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".apng", ".bmp", ".webp", ".tif", ".tiff", ".mpo"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2"),
)


def natural(path: Path | str) -> list[tuple[int, int, str]]:
    """A sort key under which frame 2 comes before frame 10."""
    parts = re.split(r"([0-9]{1,1000})", str(path))
    return [(0, int(part), part) if place % 2 else (1, 0, part) for place, part in enumerate(parts)]


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is one that systems and tools leave beside the user's own."""
    return path.name.startswith(".") or path.name in ("__MACOSX", "@eaDir")


def entries_of(folder: Path) -> list[Path]:
    """What is in a folder in natural order, without hidden files; UserError where it cannot be listed."""
    try:
        return sorted((path for path in folder.iterdir() if not is_hidden(path)), key=natural)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be read: {error.strerror}.") from None


def images_in(folder: Path) -> list[Path]:
    """The pictures in a folder, in natural order."""
    return [path for path in entries_of(folder) if path.suffix.lower() in IMAGES]
