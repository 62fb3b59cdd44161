"""Tensors of `.pth` files, as torch.save writes them, without torch and without running anything in them.

Both formats: the zip archive (torch 1.6 and later) and the stream of pickles and raw numbers before it.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from vistr.errors import UserError
from vistr.weights.unpickle import Storage, StoredTensor, read_pickle, storage_of

MAGIC = 0x1950A86A20F9469CFC6C
ZIP_START = b"PK\x03\x04"
# Where training scripts keep the state dict; the file itself may be one.
_HOLDERS = ("model", "state_dict", "model_state_dict", "net", "network")

Numbers = Callable[[Storage], np.ndarray]


def read_pth(path: Path) -> dict[str, np.ndarray]:
    """The state dict of a `.pth` file: `{name: array}`, bfloat16 as float32.

    It is looked for under "model", "state_dict" and the like, then in the file itself; a leading "module." (of a
    network trained on several devices) is dropped. Only its own numbers are read, not the optimizer's. UserError: a
    file that is none, is damaged, holds no tensors, or asks for anything but tensors and plain containers.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start == ZIP_START:
                with zipfile.ZipFile(file) as archive:
                    content, numbers = _open_zip(archive, path)
                    return _arrays(content, numbers, path)
            content, numbers = _open_stream(file, path)
            return _arrays(content, numbers, path)
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, struct.error, EOFError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} is damaged or no file of torch.save ({reason})") from error


def _open_zip(archive: zipfile.ZipFile, path: Path) -> tuple[Any, Numbers]:
    names = archive.namelist()
    index = next((name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")), None)
    if index is None:
        raise UserError(f"{path} is a zip archive, but not one that torch.save writes (no data.pkl in it)")
    root = index.removesuffix("data.pkl")
    if f"{root}constants.pkl" in names:
        raise UserError(f"{path} is a TorchScript program: save its state dict with torch.save, and use that file")
    order = archive.read(f"{root}byteorder").decode() if f"{root}byteorder" in names else "little"
    known: dict[str, bytes] = {}

    def numbers(storage: Storage) -> np.ndarray:
        if storage.key not in known:
            known[storage.key] = archive.read(f"{root}data/{storage.key}")
        return np.frombuffer(known[storage.key], _in_order(storage.code, order))

    with archive.open(index) as file:
        return read_pickle(file, path, storage_of), numbers


def _open_stream(file: IO[bytes], path: Path) -> tuple[Any, Numbers]:
    if read_pickle(file, path) != MAGIC:
        raise UserError(f"{path} is a pickle, but not one that torch.save writes")
    version, system = read_pickle(file, path), read_pickle(file, path)
    if version != 1001:
        raise UserError(f"{path} is of torch's stream format {version!r}, and only 1001 is known")
    order = "little" if not isinstance(system, dict) or system.get("little_endian", True) else "big"
    storages: dict[str, Storage] = {}

    def storage(identifier: tuple[Any, ...]) -> Storage:
        if len(identifier) > 5 and identifier[5] is not None:
            raise pickle.UnpicklingError("a view of a storage, as torch before 0.4 wrote them")
        found = storage_of(identifier)
        return storages.setdefault(found.key, found)

    content = read_pickle(file, path, storage)
    starts = {}
    for key in read_pickle(file, path):
        # A number of elements, then the elements; what is not asked for is skipped.
        starts[str(key)] = file.tell() + 8
        (num_elements,) = struct.unpack("<q", file.read(8))
        file.seek(num_elements * np.dtype(storages[str(key)].code).itemsize, 1)

    def numbers(storage: Storage) -> np.ndarray:
        file.seek(starts[storage.key])
        dtype = _in_order(storage.code, order)
        return np.frombuffer(file.read(storage.num_elements * dtype.itemsize), dtype)

    return content, numbers


def _in_order(code: str, order: str) -> np.dtype:
    return np.dtype(code).newbyteorder("<" if order == "little" else ">")


def _arrays(content: Any, numbers: Numbers, path: Path) -> dict[str, np.ndarray]:
    tensors = dict(_tensors(_state_dict(content)))
    if not tensors:
        raise UserError(f"{path} holds no state dict: no tensors by name, neither in it nor under 'model'")
    names = [name.removeprefix("module.") for name in tensors]
    return {name: tensor.array(numbers(tensor.storage)) for name, tensor in zip(names, tensors.values(), strict=True)}


def _state_dict(content: Any) -> Any:
    if not isinstance(content, Mapping):
        return {}
    for key in _HOLDERS:
        if isinstance(content.get(key), Mapping):
            return content[key]
    return content


def _tensors(state: Mapping[Any, Any]) -> Iterator[tuple[str, StoredTensor]]:
    return ((str(name), value) for name, value in state.items() if isinstance(value, StoredTensor))
