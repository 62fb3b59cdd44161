"""Safetensors files, and the checksums that ours carry in their metadata.

There is one of each array with its name, type and shape, and one of what the file says of itself.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import deserialize, safe_open
from safetensors.numpy import save_file

from vistr.errors import UserError, shortened
from vistr.weights.checksums import CHECKSUMS

DESCRIBED = "vistr"  # the entry of the metadata that holds what a file says of itself
# The kinds of numbers that are read, by NumPy's codes; the Hub has others, in eight bits, that NumPy lacks.
_CODES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "C64": "<c8",
    "BOOL": "?",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
}


MAX_HEADER = 4 * 2**20  # bytes; 1,000 arrays take 150 kB


def write_safetensors(path: Path, arrays: dict[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays with their checksums. SafetensorError, OSError: that cannot be done."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    kind, checksum = next(iter(CHECKSUMS.items()))
    sums = {
        "arrays": {name: checksum(name, array) for name, array in arrays.items()},
        DESCRIBED: zlib.crc32(metadata.get(DESCRIBED, "").encode()),
    }
    save_file(arrays, path, {**metadata, kind: json.dumps(sums)})


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a file by name, bfloat16 as float32, and what our own say of themselves (else empty).

    Raises UserError for a damaged or another file, or for numbers of an unknown type.
    """
    try:
        _refuse_long_header(path)
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 (not a dict)
            if unknown := {name: kind for name, kind in kinds.items() if kind not in _CODES}:
                name, kind = next(iter(unknown.items()))
                raise ValueError(f"{shortened(name)} has numbers of the kind {shortened(kind)}")
            read = _with_bfloat16(path) if "BF16" in kinds.values() else ((n, file.get_tensor(n)) for n in kinds)
            arrays = _verified(read, metadata)
        described = json.loads(metadata.get(DESCRIBED, "{}"))
        if not isinstance(described, dict):
            raise ValueError("what it says of itself is no JSON object")
        return arrays, described
    except Exception as error:  # the library's, JSON's, NumPy's
        reason = shortened(error, 100) or type(error).__name__
        raise UserError(f"{path} is damaged or no file of weights ({reason}); {FORMATS} can be read") from None


FORMATS = ".safetensors, .pth (torch), .ckpt (MindSpore), .npz and .npy"


def _refuse_long_header(path: Path) -> None:
    # The library allows 100 MB, whose names and texts would take gigabytes.
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if MAX_HEADER < length <= path.stat().st_size:
        raise ValueError(f"a header of {length / 1e6:.0f} MB, far more than names of arrays take")


def _with_bfloat16(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """A file by its raw bytes: NumPy knows no bfloat16, so that the library gives up."""
    for name, entry in deserialize(path.read_bytes()):
        numbers = np.frombuffer(entry["data"], _CODES[entry["dtype"]])
        if entry["dtype"] == "BF16":
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        yield name, numbers.reshape(entry["shape"])


def _verified(read: Iterator[tuple[str, np.ndarray]], metadata: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The arrays, held against the checksums, if there are any."""
    kind = next((kind for kind in CHECKSUMS if kind in metadata), None)
    if kind is None:
        if DESCRIBED in metadata and len(metadata) > 1:
            raise ValueError("it says things that this version does not know")
        return dict(read)
    stored = json.loads(metadata[kind])
    sums = stored["arrays"]
    if stored[DESCRIBED] != zlib.crc32(metadata.get(DESCRIBED, "").encode()) or not isinstance(sums, dict):
        raise ValueError("what it says of itself is not what was written")
    arrays, wrong = {}, []
    for name, array in read:
        arrays[name] = array
        if CHECKSUMS[kind](name, array) != sums.get(name):
            wrong.append(name)
    if wrong or sums.keys() != arrays.keys():
        name = next(iter(wrong or sums.keys() ^ arrays.keys()))
        raise ValueError(f"{shortened(name)} is not what was written")
    return arrays
