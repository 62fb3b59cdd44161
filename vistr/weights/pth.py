"""Tensors of `.pth` files, as torch.save writes them, without torch and without running anything in them.

Both formats: the zip archive (torch 1.6 and later) and the stream of pickles and raw numbers before it.
"""

from __future__ import annotations

import io
import mmap
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vistr.errors import UserError, shortened
from vistr.weights.pickled import Storage, StoredTensor, refuse_many, storage_of
from vistr.weights.unpickle import LARGEST, read_pickle

MAGIC = 0x1950A86A20F9469CFC6C
ZIP_START = b"PK\x03\x04"
# Where training scripts keep the state dict; the file itself may be one.
_HOLDERS = ("model", "state_dict", "model_state_dict", "net", "network")
# Arrays may share numbers, or repeat them: of a whole file they take at most so many times its size, and these bytes.
_MOST_TIMES, _MOST_BYTES = 4, 32 << 20

Numbers = Callable[[Storage], np.ndarray]


def read_pth(path: Path) -> dict[str, np.ndarray]:
    """The state dict of a `.pth` file: `{name: array}`, bfloat16 as float32.

    It is looked for under "model", "state_dict" and the like, then in the file itself; a leading "module." (of a
    network trained on several devices) is dropped. Only its own numbers are read, not the optimizer's.
    Raises UserError for a file that is not one of PyTorch's, is damaged, holds no tensors, or asks for anything but
    tensors and plain containers.
    """
    try:
        with path.open("rb") as file:
            # Mapped, so that no more can be asked for than there is.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            if mapped[:4] == ZIP_START:
                with zipfile.ZipFile(file) as archive:
                    content, numbers = _open_zip(archive, path)
                    return _arrays(content, numbers, path, len(mapped))
            content, numbers = _open_stream(mapped, path)
            return _arrays(content, numbers, path, len(mapped))
    except UserError:
        raise
    except Exception as error:  # zipfile, struct, NumPy and mmap each have their own
        reason = shortened(error) or type(error).__name__
        raise UserError(f"{path} is damaged or no file of torch.save ({reason})") from None


def _open_zip(archive: zipfile.ZipFile, path: Path) -> tuple[Any, Numbers]:
    names = set(archive.namelist())
    index = next((name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")), None)
    if index is None:
        raise UserError(f"{path} is a zip archive, but not one that torch.save writes (no data.pkl in it)")
    root = index.removesuffix("data.pkl")
    if f"{root}constants.pkl" in names:
        raise UserError(f"{path} is a TorchScript program: save its state dict with torch.save, and use that file")
    order = "little"
    if f"{root}byteorder" in names:
        order = _record(archive, f"{root}byteorder", largest=16).decode()
    known: dict[str, bytes] = {}

    def numbers(storage: Storage) -> np.ndarray:
        dtype = _in_order(storage.code, order)
        if storage.key not in known:
            known[storage.key] = _record(archive, f"{root}data/{storage.key}")
        return np.frombuffer(known[storage.key], dtype)

    pickled = io.BytesIO(_record(archive, index, largest=LARGEST))
    return read_pickle(pickled, path, storage_of), numbers


def _record(archive: zipfile.ZipFile, name: str, largest: int | None = None) -> bytes:
    """A file of the archive, which torch.save does not compress; ValueError: it is compressed, or too large."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
        raise ValueError(f"{shortened(name)} in it is compressed or encrypted, as torch.save writes none")
    if largest is not None and entry.file_size > largest:
        raise ValueError(f"{shortened(name)} in it is larger than {largest} bytes")
    return archive.read(entry)


def _open_stream(mapped: mmap.mmap, path: Path) -> tuple[Any, Numbers]:
    if read_pickle(mapped, path) != MAGIC:  # type: ignore[arg-type]
        raise UserError(f"{path} is a pickle, but not one that torch.save writes")
    version, system = read_pickle(mapped, path), read_pickle(mapped, path)  # type: ignore[arg-type]
    if version != 1001:
        raise UserError(f"{path} is of another stream format of torch than 1001, the one that is known")
    order = "little" if not isinstance(system, dict) or system.get("little_endian", True) else "big"
    storages: dict[str, Storage] = {}

    def storage(identifier: tuple[Any, ...]) -> Storage:
        if len(identifier) > 5 and identifier[5] is not None:
            raise pickle.UnpicklingError("a view of a storage, as torch before 0.4 wrote them")
        found = storage_of(identifier)
        return storages.setdefault(found.key, found)

    content = read_pickle(mapped, path, storage)  # type: ignore[arg-type]
    keys = read_pickle(mapped, path)  # type: ignore[arg-type]
    starts = _starts(mapped, keys, storages)

    def numbers(storage: Storage) -> np.ndarray:
        return np.frombuffer(mapped, _in_order(storage.code, order), storage.num_elements, starts[storage.key])

    return content, numbers


def _starts(mapped: mmap.mmap, keys: Any, storages: Mapping[str, Storage]) -> dict[str, int]:
    """Where the numbers of each storage begin: a count, then the numbers, one after the other."""
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise ValueError("its list of storages is none")
    starts = {}
    for key in keys:
        (count,) = struct.unpack("<q", mapped.read(8))
        starts[key] = mapped.tell()
        if count != storages[key].num_elements:
            raise ValueError(f"storage {shortened(key)} is of another size than its tensors say")
        mapped.seek(count * np.dtype(storages[key].code).itemsize, 1)
    return starts


def _in_order(code: str, order: str) -> np.dtype:
    return np.dtype(code).newbyteorder("<" if order == "little" else ">")


def _arrays(content: Any, numbers: Numbers, path: Path, size: int) -> dict[str, np.ndarray]:
    tensors = dict(_tensors(_state_dict(content)))
    if not tensors:
        raise UserError(f"{path} holds no state dict: no tensors by name, neither in it nor under 'model'")
    refuse_many(len(tensors))
    if sum(one.num_bytes for one in tensors.values()) > _MOST_TIMES * size + _MOST_BYTES:
        raise UserError(f"{path} is damaged: its tensors would take far more memory than the file has bytes")
    arrays = {}
    for name, one in tensors.items():
        if one.storage.num_elements * np.dtype(one.storage.code).itemsize > size:
            raise UserError(f"{path} is damaged: {shortened(name)} is larger than the file")
        arrays[name.removeprefix("module.")] = one.array(numbers(one.storage))
    return arrays


def _state_dict(content: Any) -> Any:
    if not isinstance(content, Mapping):
        return {}
    for key in _HOLDERS:
        if isinstance(content.get(key), Mapping):
            return content[key]
    return content


def _tensors(state: Mapping[Any, Any]) -> Iterator[tuple[str, StoredTensor]]:
    return ((name, value) for name, value in state.items() if isinstance(name, str) and isinstance(value, StoredTensor))
