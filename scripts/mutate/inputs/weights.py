"""Files of other people's weights: their bytes, and the pickle inside of them."""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from scripts.mutate.changes import change_bytes
from scripts.mutate.readers import Case, Maker

SHAPES = {
    "conv1.weight": (4, 3, 2, 2),
    "bn1.weight": (4,),
    "layer1.0.conv1.weight": (4, 4, 1, 1),
    "layer1.0.bn1.bias": (4,),
}


def arrays() -> dict[str, np.ndarray]:
    """A few arrays by the names of a ResNet."""
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}


def state_dict_pickle(shapes: Mapping[str, tuple[int, ...]] = SHAPES) -> bytes:
    """The pickle of a state dict of such arrays, as torch writes it."""

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def integers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"

    out = b"\x80\x02ccollections\nOrderedDict\n)R("
    for key, (name, shape) in enumerate(shapes.items()):
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        size = b"J" + struct.pack("<i", math.prod(shape))
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(key)) + text("cpu") + size + b"tQ"
        view = storage + b"J\0\0\0\0" + integers(shape) + integers(strides)
        out += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + view + b"\x89ccollections\nOrderedDict\n)RtR"
    return out + b"u."


def torch_zip(pickled: bytes, values: Iterable[np.ndarray] | None = None) -> bytes:
    """A `.pth` as torch.save writes it since 1.6, of those values or of `arrays`."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, value in enumerate(arrays().values() if values is None else values):
            archive.writestr(f"archive/data/{key}", value.tobytes())
        archive.writestr("archive/version", "3\n")
    return out.getvalue()


def torch_stream() -> bytes:
    """A `.pth` as torch.save wrote it before 1.6."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    out = b"".join(pickle.dumps(part, 2) for part in head) + state_dict_pickle()
    out += pickle.dumps([str(key) for key in range(len(SHAPES))], 2)
    return out + b"".join(struct.pack("<q", value.size) + value.tobytes() for value in arrays().values())


def numpy_file(write: Callable[[io.BytesIO], object]) -> bytes:
    """The bytes that `write` puts into a file."""
    write(out := io.BytesIO())
    return out.getvalue()


def safetensors_file() -> bytes:
    """The arrays as the Hub has them."""
    from safetensors.numpy import save

    return save(arrays(), {"format": "pt"})


def mindspore_file(folder: Path) -> bytes:
    """The arrays as MindSpore saves them."""
    import mindspore as ms

    entries = [{"name": name, "data": ms.Tensor(value)} for name, value in arrays().items()]
    ms.save_checkpoint(entries, str(folder / "sound.ckpt"))
    return (folder / "sound.ckpt").read_bytes()


def _sound(folder: Path, name: str) -> bytes:
    plain = arrays()
    return {
        "pth": lambda: torch_zip(state_dict_pickle()),
        "stream": torch_stream,
        "npz": lambda: numpy_file(lambda out: np.savez(out, **plain)),
        "npzdeflated": lambda: numpy_file(lambda out: np.savez_compressed(out, **plain)),
        "npy": lambda: numpy_file(lambda out: np.save(out, np.array(plain, object), allow_pickle=True)),
        "npyplain": lambda: numpy_file(lambda out: np.save(out, plain["conv1.weight"])),
        "safetensors": safetensors_file,
        "ckpt": lambda: mindspore_file(folder),
    }[name]()


_SUFFIX = {"stream": "pth", "npzdeflated": "npz", "npyplain": "npy", "pickle": "pth"}


def _file_reader(name: str, folder: Path) -> Maker:
    from vistr.weights.formats import parse
    from vistr.weights.kinds import source_of

    suffix = _SUFFIX.get(name, name)
    sound = state_dict_pickle() if name == "pickle" else _sound(folder, name)
    path = folder / "input" / f"weights.{suffix}"

    def read() -> str:
        # In this process, though task=... does it in another: a crash is to be seen here.
        file = parse(path)
        if name != "npyplain":  # one array without a name is of no network
            source_of(file)
        total = sum(value.nbytes for value in file.arrays.values())
        return f"{total} bytes of arrays" if total > 1 << 20 else ""

    def make(rng: Random) -> Case:
        change, data = change_bytes(sound, rng)
        return Case(change, {path.name: torch_zip(data) if name == "pickle" else data}, read)

    return make


def _apart_reader(folder: Path) -> Maker:
    """All formats by way of the process that reads them in earnest."""
    from vistr.weights.formats import find_weights, read_weight_file
    from vistr.weights.kinds import source_of

    kinds = {name: _sound(folder, name) for name in ("pth", "stream", "npzdeflated", "npy", "npyplain", "ckpt")}

    def make(rng: Random) -> Case:
        name = rng.choice(sorted(kinds))
        path = folder / "input" / f"weights.{_SUFFIX.get(name, name)}"
        change, data = change_bytes(kinds[name], rng)

        def read() -> str:
            file = read_weight_file(find_weights(path))
            if name != "npyplain":
                source_of(file)
            return ""

        return Case(f"{name}: {change}", {path.name: data}, read)

    return make


_NAMES = ("pth", "pickle", "stream", "npz", "npzdeflated", "npy", "npyplain", "safetensors", "ckpt")
READERS = {name: partial(_file_reader, name) for name in _NAMES} | {"apart": _apart_reader}
