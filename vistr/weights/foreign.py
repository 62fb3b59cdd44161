"""The process that reads files of other people's formats: `python -m vistr.weights.foreign <folder>`.

It may take so much memory and time as an honest file of that size could; what a parser does wrong beyond that ends this
process and no other. It hands the arrays back as a safetensors file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from vistr.errors import UserError, shortened
from vistr.runtime import system
from vistr.runtime.subprocess_call import answer_request
from vistr.weights.formats import parse

# Reading takes a few times the file's size and little time: these are far from what an honest file needs.
_BYTES, _TIMES = 128 << 20, 8
_SECONDS, _SECONDS_A_GIGABYTE = 4, 60


def find(request: dict[str, Any], _: Path) -> dict[str, Any]:
    """Write the arrays of a file to another, and return its format. Raises UserError for a damaged file."""
    path = Path(request["path"])
    _limit(path.stat().st_size)
    try:
        file = parse(path)
        if strange := [name for name, array in file.arrays.items() if array.dtype == "complex128"]:
            raise UserError(f"{path} holds complex numbers ({strange[0]}), which no weights are")
    except (MemoryError, RecursionError, OverflowError):
        raise UserError(f"{path} is damaged: reading it would take far more memory than it has bytes") from None
    try:
        save_file(_native(file.arrays), request["arrays"])  # read at once: a checksum would cost more than it finds
    except (OSError, SafetensorError) as error:
        reason = shortened(getattr(error, "strerror", None) or error)
        raise UserError(f"{path} cannot be unpacked in {Path(request['arrays']).parent}: {reason}") from None
    return {"format": file.format}


def _native(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays as the library writes them: row by row, in this machine's byte order."""
    return {name: np.asarray(array, array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}


def _limit(size: int) -> None:
    seconds = _SECONDS + _SECONDS_A_GIGABYTE * size / 1e9
    system.limit_process(more_memory=_BYTES + _TIMES * size, more_seconds=seconds)


if __name__ == "__main__":
    sys.exit(answer_request(sys.argv[1:], find))
