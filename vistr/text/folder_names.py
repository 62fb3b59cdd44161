"""Text and paths as parts of folder names."""

from __future__ import annotations

import os
import re
from pathlib import Path


def slug(text: str) -> str:
    """Text as part of a folder name: letters, digits and `._=+-`, anything else a dash."""
    return re.sub(r"[^A-Za-z0-9._=+-]+", "-", text).strip("-")


def end_of(path: str) -> str:
    """The last part of a path that is left as part of a folder name: of `clips/*.mp4` the folder, of `.` its name."""
    whole = Path(os.path.abspath(path))
    own = whole.stem if whole.suffix[1:].isidentifier() else whole.name  # lr=0.1 has no suffix
    names = (slug(part).strip("_-") for part in (own, *(folder.name for folder in whole.parents)))
    return next(filter(None, names), "")
