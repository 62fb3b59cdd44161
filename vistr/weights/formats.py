"""Arrays by name out of the files people keep weights in, told apart by how they begin."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vistr.errors import UserError, shortened
from vistr.files import is_file, is_folder, working_folder
from vistr.hub import local_file
from vistr.pointers import refuse_stand_in
from vistr.runtime.subprocess_call import ask_apart
from vistr.weights.mindspore_file import read_mindspore
from vistr.weights.numpy_files import NPY_START, read_npy, read_npz
from vistr.weights.pth import ZIP_START, read_pth
from vistr.weights.safetensors_file import read_safetensors

_PROCESS = "vistr.weights.foreign"
_MINUTES, _MINUTES_A_GIGABYTE = 1.0, 5.0


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
    if is_folder(path):
        path = path / "checkpoints" / "last.safetensors"
    if not is_file(path):
        raise UserError(
            f"{shortened(path, 150)} does not exist: name a file of weights, or a run's folder that holds checkpoints"
        )
    refuse_stand_in(path)
    return path


def read_weight_file(path: Path) -> WeightFile:
    """Read any of FORMATS without executing anything in it; half precision stays, bfloat16 becomes float32.

    Other formats than safetensors are read by a process of limited memory and time, whose end costs a sentence.
    Raises UserError for a damaged file, or one with something else than numbers in it.
    """
    if _format(path) == "safetensors":
        return parse(path)
    with working_folder("vistr-weights-") as folder:
        arrays = folder / "arrays.safetensors"
        minutes = _MINUTES + _MINUTES_A_GIGABYTE * path.stat().st_size / 1e9
        request = {"path": str(path), "arrays": str(arrays)}
        answer = ask_apart(_PROCESS, request, limit_minutes=minutes)
        if "error" in answer:
            unknown = f"{path} is damaged or hostile: the process that read it failed ({answer['error']})"
            raise UserError(answer.get("mistake", unknown))
        return replace(parse(arrays), path=path, format=answer["format"], described={})


def parse(path: Path) -> WeightFile:
    """As `read_weight_file`, in this process."""
    format = _format(path)
    if format == "safetensors":
        return WeightFile(path, format, *read_safetensors(path))
    read = {"NumPy's .npy": read_npy, "NumPy's .npz": read_npz, "MindSpore's .ckpt": read_mindspore}
    return WeightFile(path, format, read.get(format, read_pth)(path))


def _format(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    # A length of eight bytes, which may begin like anything, then JSON.
    if start[8:] == b"{" or path.suffix == ".safetensors":
        return "safetensors"
    if start[:6] == NPY_START:
        return "NumPy's .npy"
    if start[:4] == ZIP_START:
        return "NumPy's .npz" if path.suffix == ".npz" else "torch's zip archive"
    if start[:1] == b"\x80" or path.suffix in (".pth", ".pt"):
        return "torch's older stream"
    return "MindSpore's .ckpt" if path.suffix == ".ckpt" else "safetensors"
