"""Atomic file writes, JSON, the user's cache folder, and where this package and its configurations lie."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vistr.errors import UserError, shortened, shown
from vistr.pointers import stand_in

ROOT = Path(__file__).resolve().parents[1]
# An installed package holds its configurations, a clone has them beside it.
CONF = next((folder for folder in (ROOT / "vistr" / "conf", ROOT / "conf") if folder.is_dir()), ROOT / "conf")
# What a user types to start a run, and one of several processes: in a clone, and with an installed package.
PROGRAM, LAUNCH = ("python run.py", "scripts/launch") if (ROOT / "run.py").is_file() else ("vistr", "vistr-launch")
# A folder of a process at work ends so: its number and its machine.
_OWNER = re.compile(r"\.process-(\d+)-(.+)$")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft to write to, which takes the place of `path` when the body ends well and is removed otherwise.

    A reader, a crash or a loss of power sees the whole new file or the whole old one. The draft lies in a folder of its
    own beside `path`, as some libraries make further files beside what they write.
    """
    with working_folder(f".{path.name[:80]}.", path.parent) as folder:
        draft = folder / path.name
        yield draft
        keep_umask(draft)
        _sync(draft)
        os.replace(draft, path)
        with suppress(OSError):  # not every file system has it for folders
            _sync(path.parent)


@contextmanager
def working_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder that is removed when the body ends; in the system's folder for temporary files unless in `parent`.

    Where the process is killed it stays, until somebody makes another of that prefix there.
    """
    folder = make_working_folder(prefix, parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_working_folder(prefix: str, parent: Path | None = None) -> Path:
    """As `working_folder`, for the caller to remove."""
    _remove_abandoned(prefix, parent or Path(tempfile.gettempdir()))
    return Path(tempfile.mkdtemp(f".process-{os.getpid()}-{socket.gethostname()}", prefix, parent))


def keep_umask(draft: Path) -> None:
    """Let those read a file in a working folder whom the user's umask lets: libraries have rules of their own."""
    plain = draft.with_name(".plain")
    plain.touch()
    with suppress(OSError):  # not every file system has modes
        draft.chmod(plain.stat().st_mode)
    plain.unlink()


def place_of(path: Path) -> Path:
    """The file that a draft of `replacing` is to become; any other path as it is."""
    return path.parents[1] / path.name if _OWNER.search(path.parent.name) else path


def _remove_abandoned(prefix: str, parent: Path) -> None:
    """Remove the working folders of processes of this machine that have died."""
    for path in list(parent.glob(f"{glob.escape(prefix)}*.process-*")):
        with suppress(OSError):
            owner = _OWNER.search(path.name)
            if owner and owner[2] == socket.gethostname() and _has_died(int(owner[1]), path.stat().st_mtime):
                shutil.rmtree(path, ignore_errors=True)


def _has_died(pid: int, last_at_work: float) -> bool:
    """Whether the process that was at work then has ended; its number may be another's by now."""
    import psutil

    try:
        return bool(psutil.Process(pid).create_time() > last_at_work + 1)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _sync(path: Path) -> None:
    """Have the system write out what it holds back of a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_file(path: Path) -> bool:
    """Whether there is a file of that name, which may be no name at all, or lie where we may not look."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder of that name; as `is_file`."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def require_file(key: str, path: str | Path, what: str) -> None:
    """UserError where the key names no file that exists; `what` says what it should be."""
    if not is_file(Path(path)):
        wrong = "this is a folder, name the file in it" if is_folder(Path(path)) else "there is no such file"
        raise UserError(f"{key}={shortened(path)}: {wrong} ({what}).")


def require_folder(key: str, path: str | Path, what: str) -> None:
    """UserError where the key names no folder that exists; `what` says what it should be."""
    if not is_folder(Path(path)):
        raise UserError(f"{key}={shortened(path)}: there is no such folder ({what}).")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(content), encoding="utf-8")


def read_json(path: Path, what: str, loads: Callable[[bytes], Any] = json.loads) -> Any:
    """The content of a JSON file, with or without a byte order mark; `what` names the file's role in a sentence.

    UserError where the file cannot be read or is no JSON.
    """
    try:
        return loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        if found := stand_in(path):
            raise UserError(f"{what} {path} {found}.") from None
        raise UserError(f"{what} {path} is not JSON: {shown(error, 100)}.") from None


def python_path() -> str:
    """The PYTHONPATH of a new process that is to find this package."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def user_cache() -> Path:
    """Our part of the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vistr"
