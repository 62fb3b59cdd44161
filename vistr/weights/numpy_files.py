"""Arrays of NumPy's `.npy` and `.npz` files; a pickled dictionary in an `.npy` by the reader that executes nothing."""

from __future__ import annotations

import io
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from vistr.errors import UserError, shortened
from vistr.weights.pickled import PickledArray, refuse_many
from vistr.weights.unpickle import read_pickle

NPY_START = b"\x93NUMPY"
# Weights are hardly smaller when they are deflated: what unpacks to more is made to fill a memory.
_MOST_TIMES, _MOST_BYTES = 16, 32 << 20


def read_npy(path: Path) -> dict[str, np.ndarray]:
    """One array as {"": array}, or the dictionary of arrays that np.save has pickled. Raises UserError for others."""
    data = path.read_bytes()
    try:
        content = _pickled(data, path)
        if content is None:
            return {"": _array(data)}
    except UserError:
        raise
    except Exception as error:  # the parser of NumPy's header has Python's own
        raise UserError(f"{path} is damaged ({_reason(error)})") from None
    if isinstance(content, np.ndarray) and content.dtype == object and content.size == 1:
        content = content.reshape(-1)[0]
    if not isinstance(content, dict):
        raise UserError(f"{path} holds neither an array nor a dictionary of arrays")
    arrays = {name: _plain(one) for name, one in content.items() if isinstance(name, str)}
    return {name: one for name, one in arrays.items() if isinstance(one, np.ndarray) and one.dtype != object}


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an archive by name, deflated or not. Raises UserError for damaged ones, or other contents."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            refuse_many(len(entries))
            if sum(entry.file_size for entry in entries) > _MOST_TIMES * path.stat().st_size + _MOST_BYTES:
                raise ValueError("it unpacks to far more than weights do")
            if strange := [entry for entry in entries if entry.flag_bits & 1 or entry.compress_type not in (0, 8)]:
                raise ValueError(f"{shortened(strange[0].filename)} in it is encrypted, or not deflated")
            return {entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries}
    except Exception as error:  # zipfile, zlib and NumPy each have their own
        raise UserError(f"{path} is damaged, or holds what is not numbers ({_reason(error)})") from None


def _header(file: io.BytesIO) -> Any:
    """Shape, whether by columns, dtype."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version[0]} of the format")
    return npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)


def _array(data: bytes) -> np.ndarray:
    """The array in an `.npy` file's bytes, whose sizes must be those of its numbers."""
    file = io.BytesIO(data)
    shape, by_columns, dtype = _header(file)
    if dtype.kind not in "biufc":
        raise ValueError("an array of what is not numbers")
    if any(side < 0 for side in shape) or prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError("an array of other sizes than its numbers are")
    numbers = np.frombuffer(data, dtype, offset=file.tell())
    return numbers.reshape(shape, order="F" if by_columns else "C")


def _pickled(data: bytes, path: Path) -> Any:
    """What a file of objects holds; None for one of numbers."""
    file = io.BytesIO(data)
    _, _, dtype = _header(file)
    return _plain(read_pickle(file, path)) if dtype.kind == "O" else None


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, PickledArray) else value


def _reason(error: Exception) -> str:
    return shortened(error) or type(error).__name__
