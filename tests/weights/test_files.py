"""Weights out of every format, and what is none of them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.numeric import random
from vistr.errors import UserError
from vistr.weights.files import read_weight_file

ARRAYS = {"a.weight": random(0, 3, 4), "a.bias": random(1, 3).astype(np.float16)}


def assert_read(path: Path, format: str) -> None:
    file = read_weight_file(path)
    assert format in file.format
    assert file.arrays.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(file.arrays[name], value, strict=True)


def test_safetensors_npz_and_mindspores_own(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "weights.safetensors")
    assert_read(tmp_path / "weights.safetensors", "safetensors")
    np.savez(tmp_path / "weights.npz", **ARRAYS)
    assert_read(tmp_path / "weights.npz", ".npz")
    entries = [{"name": name, "data": ms.Tensor(value)} for name, value in ARRAYS.items()]
    ms.save_checkpoint(entries, str(tmp_path / "weights.ckpt"))
    assert_read(tmp_path / "weights.ckpt", "MindSpore")


def test_what_our_checkpoints_say_of_themselves_comes_along(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "ours.safetensors", {"vistr": json.dumps({"metrics": {"AP": 0.5}})})
    assert read_weight_file(tmp_path / "ours.safetensors").described == {"metrics": {"AP": 0.5}}


def test_bfloat16_in_safetensors_becomes_float32(tmp_path: Path) -> None:
    numbers = np.array([1, -2.5, 0.15625], np.float32)
    raw = (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()
    half = ARRAYS["a.bias"]
    entries = {
        "wide": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]},
        "half": {"dtype": "F16", "shape": [3], "data_offsets": [6, 12]},
    }
    header = json.dumps(entries).encode()
    content = struct.pack("<Q", len(header)) + header + raw + half.tobytes()
    (tmp_path / "brain.safetensors").write_bytes(content)
    arrays = read_weight_file(tmp_path / "brain.safetensors").arrays
    np.testing.assert_array_equal(arrays["wide"], numbers, strict=True)
    np.testing.assert_array_equal(arrays["half"], half, strict=True)


def test_an_npy_is_an_array_or_a_dictionary_of_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", ARRAYS["a.weight"])
    np.testing.assert_array_equal(read_weight_file(tmp_path / "one.npy").arrays[""], ARRAYS["a.weight"])
    np.save(tmp_path / "many.npy", ARRAYS, allow_pickle=True)  # type: ignore[arg-type]
    assert_read(tmp_path / "many.npy", ".npy")


class Hostile:
    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch ran",)


def test_a_hostile_npy_is_refused_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "evil.npy", np.array({"weight": Hostile()}, object), allow_pickle=True)
    with pytest.raises(UserError, match=r"asks for posix\.system"):
        read_weight_file(tmp_path / "evil.npy")
    np.savez(tmp_path / "evil.npz", weight=np.array([Hostile()], object))
    with pytest.raises(UserError, match="not numbers"):
        read_weight_file(tmp_path / "evil.npz")
    assert not Path("ran").exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.ckpt", "w.npz", "w.npy", "w"])
@pytest.mark.parametrize(
    "content", [b"", b"no weights at all", b"\x93NUMPY\x01\x00broken", b"PK\x03\x04broken", b"\x80\x02"]
)
def test_whatever_is_none_of_them_is_one_sentence(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged|not read") as error:
        read_weight_file(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
