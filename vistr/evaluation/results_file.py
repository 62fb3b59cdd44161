"""A results file as it comes: JSON, or the zip that evaluation servers take, which task=evaluate writes beside it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vistr.errors import UserError, shown
from vistr.files import read_json

# A few bytes can unpack to any size.
_ALWAYS, _TIMES = 64 * 2**20, 50


def read_results(path: Path, what: str, loads: Callable[[bytes], Any] = json.loads) -> Any:
    """The content of a JSON file, or of the one JSON file in a zip; UserError names the file and what is wrong."""
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                if file.read(4) == b"PK\x03\x04":
                    raise UserError(f"{path} is a zip that is cut short or damaged: get it again")
            return read_json(path, what, loads)
        with zipfile.ZipFile(path) as archive:
            return loads(archive.read(_entry(archive, path)))
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: {what} cannot be read: {error.strerror}") from None
    except (zipfile.BadZipFile, RuntimeError, ValueError, EOFError, NotImplementedError) as error:
        raise UserError(f"{path} cannot be unpacked, or holds no JSON: {shown(error, 100)}") from None
    except Exception as error:  # zlib.error, lzma.LZMAError
        raise UserError(f"{path} is damaged: {shown(error, 100)}") from None


def _entry(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    inside = [
        info for info in archive.infolist() if info.filename.endswith(".json") and "__MACOSX" not in info.filename
    ]
    if len(inside) != 1:
        raise UserError(f"{path} holds {len(inside)} JSON files: it should hold one, results.json")
    if inside[0].file_size > max(_ALWAYS, _TIMES * inside[0].compress_size):
        raise UserError(
            f"{path} would unpack to {inside[0].file_size / 1e6:.0f} MB: unpack it yourself if that is right"
        )
    return inside[0]
