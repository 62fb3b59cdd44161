"""Arrays by name out of the files people keep weights in, told apart by how they begin."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open

from vistr.errors import UserError
from vistr.hub import local_file
from vistr.weights.pth import ZIP_START, read_pth
from vistr.weights.unpickle import PickledArray, read_pickle

FORMATS = ".safetensors, .pth (torch), .ckpt (MindSpore), .npz and .npy"


@dataclass(frozen=True)
class WeightFile:
    """What a file of weights holds: its format in words, arrays by name, and what our own checkpoints say of
    themselves (empty in others)."""

    path: Path
    format: str
    arrays: dict[str, np.ndarray]
    described: dict[str, Any] = field(default_factory=dict)


def find_weights(name: Path | str) -> Path:
    """The file that a path, a run's folder (its last checkpoint) or `hf://owner/name/file` stands for.

    UserError where there is none.
    """
    path = local_file(name)
    if path.is_dir():
        path = path / "checkpoints" / "last.safetensors"
    if not path.is_file():
        raise UserError(f"{path} does not exist: name a file of weights, or a run's folder that holds checkpoints")
    return path


def read_weight_file(path: Path) -> WeightFile:
    """Read any of FORMATS without executing anything in it; half precision stays, bfloat16 becomes float32.

    UserError: damaged, or something that is not numbers in it.
    """
    return parse(path)


def parse(path: Path) -> WeightFile:
    """As `read_weight_file`, in this process."""
    with path.open("rb") as file:
        start = file.read(9)
    # A length of eight bytes, which may begin like anything, then JSON.
    if start[8:] == b"{" or path.suffix == ".safetensors":
        return _read_safetensors(path)
    if start[:6] == b"\x93NUMPY":
        return WeightFile(path, "NumPy's .npy", _read_npy(path))
    if start[:4] == ZIP_START and path.suffix == ".npz":
        return WeightFile(path, "NumPy's .npz", _read_npz(path))
    if start[:4] == ZIP_START or start[:1] == b"\x80" or path.suffix in (".pth", ".pt"):
        kind = "torch's zip archive" if start[:4] == ZIP_START else "torch's older stream"
        return WeightFile(path, kind, read_pth(path))
    if path.suffix == ".ckpt":
        return WeightFile(path, "MindSpore's .ckpt", _read_mindspore(path))
    return _read_safetensors(path)


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safe_open(path, framework="numpy") as file:
            described = (file.metadata() or {}).get("vistr")
            if any(file.get_slice(name).get_dtype() == "BF16" for name in file.keys()):  # noqa: SIM118 (not a dict)
                arrays = _with_bfloat16(path)
            else:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return WeightFile(path, "safetensors", arrays, {} if described is None else json.loads(described))
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged or no file of weights ({error}); what can be read is {FORMATS}") from error


def _with_bfloat16(path: Path) -> dict[str, np.ndarray]:
    """A safetensors file by its raw bytes: NumPy knows no bfloat16, so that the library gives up."""
    codes = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
    arrays = {}
    for name, entry in deserialize(path.read_bytes()):
        if entry["dtype"] == "BF16":
            numbers = (np.frombuffer(entry["data"], "<u2").astype(np.uint32) << 16).view(np.float32)
        elif entry["dtype"] in codes:
            numbers = np.frombuffer(entry["data"], codes[entry["dtype"]])
        else:
            raise ValueError(f"{name} has numbers of the kind {entry['dtype']}")
        arrays[name] = numbers.reshape(entry["shape"])
    return arrays


def _read_mindspore(path: Path) -> dict[str, np.ndarray]:
    import mindspore as ms  # seconds, which the other formats do without

    try:
        return {name: parameter.asnumpy() for name, parameter in ms.load_checkpoint(str(path)).items()}
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise UserError(f"{path} is damaged or no checkpoint of MindSpore ({reason})") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except Exception as error:  # zipfile, zlib and NumPy each have their own
        raise UserError(f"{path} is damaged, or holds what is not numbers ({error})") from error


def _read_npy(path: Path) -> dict[str, np.ndarray]:
    """One array as {"": array}; a pickled dictionary of arrays, as np.save makes of one, as that."""
    try:
        with path.open("rb") as file:
            if not _holds_objects(file):
                file.seek(0)
                return {"": np.lib.format.read_array(file, allow_pickle=False)}
            pickled = file.read()
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error})") from error
    content = _plain(read_pickle(io.BytesIO(pickled), path))
    if isinstance(content, np.ndarray) and content.dtype == object and content.size == 1:
        content = content.reshape(-1)[0]
    if not isinstance(content, dict):
        raise UserError(f"{path} holds neither an array nor a dictionary of arrays")
    return {str(name): value for name, one in content.items() if isinstance(value := _plain(one), np.ndarray)}


def _holds_objects(file: IO[bytes]) -> bool:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return bool(read(file)[2].hasobject)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, PickledArray) else value
