"""Arrays of MindSpore's `.ckpt` files, whose sizes are compared with their numbers before anything is copied.

MindSpore's own reader trusts them: it writes past its memory where they lie.
"""

from __future__ import annotations

import importlib.util
import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from vistr.errors import UserError, shortened
from vistr.weights.pickled import MAX_DIMENSIONS, is_size, refuse_many

_TYPES = {
    "Float64": "<f8",
    "Float32": "<f4",
    "Float16": "<f2",
    "BFloat16": "<u2",
    "Int64": "<i8",
    "Int32": "<i4",
    "Int16": "<i2",
    "Int8": "i1",
    "UInt64": "<u8",
    "UInt32": "<u4",
    "UInt16": "<u2",
    "UInt8": "u1",
    "Bool": "?",
}
_CHECKSUM = re.compile(rb"crc_num.{10}\Z", re.DOTALL)  # what crc_check=True adds at the end


def read_mindspore(path: Path) -> dict[str, np.ndarray]:
    """The parameters of a `.ckpt` by name, bfloat16 as float32. Raises UserError for a damaged or encrypted one."""
    try:
        data = path.read_bytes()
        end = _CHECKSUM.search(data[-17:])
        content = _protocol().Checkpoint.FromString(data[:-17] if end else data)
        refuse_many(len(content.value))
        parts: dict[str, list[Any]] = {}
        for value in content.value:
            if value.WhichOneof("value") != "tensor":
                raise ValueError(f"{shortened(value.tag)} is no tensor")
            parts.setdefault(value.tag, []).append(value.tensor)
        if not parts:
            raise ValueError("no parameters in it")
        return {name: _array(name, some) for name, some in parts.items() if some[0].tensor_type not in ("str", "int")}
    except Exception as error:  # protobuf has its own
        reason = shortened(error) or type(error).__name__
        raise UserError(f"{path} is damaged or no checkpoint of MindSpore ({reason})") from None


def _array(name: str, parts: list[Any]) -> np.ndarray:
    """A parameter out of its parts, into which MindSpore cuts the large ones."""
    kind, sides = parts[0].tensor_type, list(parts[0].dims)
    if kind not in _TYPES or any(one.tensor_type != kind or list(one.dims) != sides for one in parts):
        raise ValueError(f"{shortened(name)} is of no type or size that is known")
    dtype, data = np.dtype(_TYPES[kind]), b"".join(one.tensor_content for one in parts)
    # A scalar is [0], with one number.
    shape = () if sides == [0] and data else tuple(sides)
    if len(shape) > MAX_DIMENSIONS or not all(map(is_size, shape)) or prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{shortened(name)} has other sizes than its numbers are")
    values = np.frombuffer(data, dtype).reshape(shape)
    return (values.astype(np.uint32) << 16).view(np.float32) if kind == "BFloat16" else values


def _protocol() -> Any:
    """MindSpore's description of the format, without the seconds that importing MindSpore takes."""
    package = importlib.util.find_spec("mindspore")
    assert package is not None
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0], "train", "checkpoint_pb2.py")
    spec = importlib.util.spec_from_file_location("checkpoint_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
