"""Where this package lies, files that are there whole or not at all, JSON, the folder for what can be made again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vistr.errors import UserError, shown

ROOT = Path(__file__).resolve().parents[1]


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


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(content), encoding="utf-8")


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file, with or without a byte order mark; `what` names the file's role in a sentence.

    UserError where the file cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{what} {path} is not JSON: {shown(error, 100)}.") from None


def python_path() -> str:
    """The PYTHONPATH of a new process that is to find this package."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def user_cache() -> Path:
    """Our part of the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vistr"
