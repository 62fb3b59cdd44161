"""Files that were not really downloaded: a Git LFS pointer, a web page, or an empty file in their place."""

from __future__ import annotations

import re
from pathlib import Path

from vistr.errors import UserError, shortened

_BEGINS = 1024
_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|title|script|meta)\b", re.I | re.S)
_MESSAGE = re.compile(rb"\s*<\?xml\b.*<(error|code|message|html)\b", re.I | re.S)


def refuse_stand_in(path: Path) -> None:
    """UserError that says what lies in the place of `path`, where that is not the file itself."""
    found = stand_in(path)
    if found is not None:
        raise UserError(f"{shortened(path)} {found}.")


def stand_in(path: Path) -> str | None:
    """In words, what lies in the place of a file, and what to do; None where it may be the file itself."""
    try:
        with path.open("rb") as file:
            start = file.read(_BEGINS)
    except OSError:
        return None
    start = start.removeprefix(b"\xef\xbb\xbf")
    if start.startswith((b"version https://git-lfs.github.com/spec/", b"version https://hawser")):
        return "is a pointer of Git LFS, not the file itself: fetch it with `git lfs pull` in its repository"
    if _PAGE.match(start) or _MESSAGE.match(start):
        return "is a web page, not the file itself: perhaps the address asked for a login; download it again"
    if not start:
        return "is empty: its download or copy did not work; get it again"
    return None
