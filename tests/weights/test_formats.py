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
from vistr.weights import formats, pickled
from vistr.weights.formats import find_weights, parse, read_weight_file

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


def mindspore_file(path: Path, dims: list[int], content: bytes, kind: str = "Float32") -> Path:
    from mindspore.train.checkpoint_pb2 import Checkpoint

    written = Checkpoint()
    value = written.value.add()
    value.tag = "conv1.weight"
    value.tensor.dims.extend(dims)
    value.tensor.tensor_type, value.tensor.tensor_content = kind, content
    path.write_bytes(written.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("dims", "content", "kind"),
    [
        ([4], b"A" * 40_000, "Float32"),  # wrote past the heap in MindSpore's own reader
        ([1], b"A" * 4_000_000, "Float32"),
        ([-4, 3, 2, 2], b"A" * 192, "Float32"),
        ([4000, 3, 2, 2], b"A" * 192, "Float32"),  # was taken for zeros
        ([4, 3, 2, 2], b"A" * 192, "Float64"),
        ([4, 3, 2, 2], b"A" * 192, "Float31"),
        ([1] * 100, b"A" * 4, "Float32"),
        ([2**62, 4], b"", "Float32"),
    ],
)
def test_a_ckpt_whose_sizes_are_not_its_numbers_is_damaged(
    dims: list[int], content: bytes, kind: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="damaged"):
        parse(mindspore_file(tmp_path / "hostile.ckpt", dims, content, kind))


def test_every_type_and_size_of_a_ckpt_arrives(tmp_path: Path) -> None:
    types = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
    arrays = {f"{kind} {shape}": np.ones(shape, kind) for kind in types for shape in ((2, 3), (1,), ())}
    entries = [{"name": name, "data": ms.Tensor(value)} for name, value in arrays.items()]
    options: dict[str, bool]
    for options in ({}, {"crc_check": True}):
        ms.save_checkpoint(entries, str(tmp_path / "weights.ckpt"), **options)
        read = parse(tmp_path / "weights.ckpt").arrays
        for name, value in arrays.items():
            np.testing.assert_array_equal(read[name], value, err_msg=name, strict=True)
    raw = (np.array([1, -2.5], np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    brain = parse(mindspore_file(tmp_path / "brain.ckpt", [2], raw, "BFloat16")).arrays["conv1.weight"]
    np.testing.assert_array_equal(brain, np.array([1, -2.5], np.float32), strict=True)


NPY = {
    "code": b"{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').system('touch ran'),), }",
    "an open bracket": b"{'descr': '<f4', 'shape': (",
    "sizes without end": b"{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 4000000000), }",
    "no size": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }",
    "a type that is none": b"{'descr': '<f4,(', 'fortran_order': False, 'shape': (4,), }",
    "nested": b"{'descr': " + b"[" * 9000 + b"}",
    "text": b"{'descr': '<U1', 'fortran_order': False, 'shape': (4,), }",
}


@pytest.mark.parametrize("header", NPY.values(), ids=NPY)
def test_an_npy_of_a_bent_header_is_damaged(header: bytes, tmp_path: Path) -> None:
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + bytes(16)
    (tmp_path / "bent.npy").write_bytes(content)
    with pytest.raises(UserError, match="damaged") as error:
        parse(tmp_path / "bent.npy")
    assert "\n" not in str(error.value)


def test_a_deflated_npz_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", weight=np.zeros(100 << 20, np.float32))
    with pytest.raises(UserError, match="far more"):
        parse(tmp_path / "bomb.npz")


@pytest.mark.parametrize("name", ["weights.npz", "weights.ckpt"])
def test_far_more_arrays_than_a_network_has_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    if name.endswith(".npz"):
        np.savez(path, **ARRAYS)
    else:
        ms.save_checkpoint([{"name": key, "data": ms.Tensor(value)} for key, value in ARRAYS.items()], str(path))
    assert len(parse(path).arrays) == 2
    monkeypatch.setattr(pickled, "MOST_ARRAYS", 1)
    with pytest.raises(UserError, match="2 arrays, far more than any network has"):
        parse(path)


def test_a_header_of_safetensors_far_longer_than_names_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {str(number): "x" for number in range(500_000)}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(UserError, match="a header of 7 MB, far more than names of arrays take"):
        read_weight_file(path)


def test_safetensors_of_a_kind_that_numpy_lacks_are_named(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "eight.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(UserError, match="F8_E4M3"):
        parse(tmp_path / "eight.safetensors")


@pytest.mark.parametrize(
    ("way", "words"),
    [("crash", "signal 6 ended it"), ("memory", "far more memory"), ("time", "signal 24 ended it|killed")],
)
def test_whatever_happens_to_the_reading_process_costs_one_sentence(
    way: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "weights.npy", np.zeros(3))
    monkeypatch.setattr(formats, "_PROCESS", "tests.weights.failing_reader")
    monkeypatch.setenv("FAILS_BY", way)
    with pytest.raises(UserError, match=words) as error:
        read_weight_file(tmp_path / "weights.npy")
    assert str(tmp_path / "weights.npy") in str(error.value)


@pytest.mark.parametrize("name", ["x" * 3000, "a/" * 3000, "w\0.pth", ""])
def test_a_name_that_is_none_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist") as error:
        find_weights(tmp_path / name)
    assert len(str(error.value)) <= 300
