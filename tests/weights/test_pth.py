"""Files of torch.save without torch: every number arrives, and nothing in them runs."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
import subprocess
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.at_once import at_once
from vistr.errors import UserError
from vistr.weights.pth import MAGIC, read_pth

FOLDER = Path(__file__).parents[1] / "data/pth"


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def zip_file(path: Path, pickled: bytes, **records: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"data.pkl": pickled, "version": b"3\n", **records}.items():
            archive.writestr(f"archive/{name}", content)
    return path


def stream_file(path: Path, pickled: bytes) -> Path:
    head = [pickle.dumps(part, 2) for part in (MAGIC, 1001, {"little_endian": True})]
    path.write_bytes(b"".join([*head, pickled, pickle.dumps([], 2)]))
    return path


def refused(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_pth(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth"])
def test_every_dtype_and_every_view_arrives(name: str) -> None:
    read, expected = read_pth(FOLDER / name), dict(np.load(FOLDER / "values.npz"))
    assert read.keys() == expected.keys()
    for key, value in expected.items():
        assert read[key].dtype == value.dtype, key
        np.testing.assert_array_equal(read[key], value, err_msg=key, strict=True)


MARK = "VISTR_TEST_RAN"
HOSTILE = {
    "a shell": (lambda: Calls(os.system, f"touch {MARK}"), "posix.system"),
    "a process": (lambda: Calls(subprocess.Popen, ["touch", MARK]), "Popen"),
    "code": (lambda: Calls(builtins.exec, f"open('{MARK}', 'w')"), "exec"),
    "an attribute": (lambda: Calls(getattr, "text", "format"), "getattr"),
    "a file": (lambda: Calls(open, MARK, "w"), "open"),
    "another pickle": (lambda: Calls(pickle.loads, b"."), "pickle.loads"),
    "a class": (lambda: Path(MARK), "pathlib"),
}


@pytest.mark.parametrize("write", [zip_file, stream_file])
@pytest.mark.parametrize(("make", "named"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_pickle_is_refused_by_name_and_runs_nothing(
    write: Callable[[Path, bytes], Path],
    make: Callable[[], Any],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "weights.pth", pickle.dumps({"model": {"weight": make()}}, 2))
    assert named in refused(path)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pth"]


CRAFTED = {
    "a reference that is none": b"\x80\x02U\x04evilQ.",
    "a constructor's inside": b"\x80\x02cargparse\nNamespace\n}U\x0c__setstate__csys\nexit\nsb.",
    "replacing what a constructor does": b"\x80\x02ctorch\nSize\nN}U\x05_callK\x01s\x86b.",
    "a Namespace of another kind": b"\x80\x02cargparse\nNamespace\n)\x81]b.",
    "text in another encoding": b"\x80\x02c_codecs\nencode\nU\x01xU\x05rot13\x86R.",
    "a tensor of no storage": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00K\x01\x85K\x01\x85tR.",
    "an array of no numbers": b"\x80\x02cnumpy\ndtype\nU\x02V8\x85R.",
    "nothing": b"",
}


@pytest.mark.parametrize("crafted", CRAFTED.values(), ids=CRAFTED)
def test_what_admitted_names_can_be_made_to_do_is_refused_too(crafted: bytes, tmp_path: Path) -> None:
    assert "is damaged" in (said := refused(zip_file(tmp_path / "crafted.pth", crafted))) or "sys.exit" in said
    np.testing.assert_array_equal(read_pth(FOLDER / "zip.pth")["scalar"], 7)  # the next reader is as it was


def tensor(shape: str, strides: str, offset: int = 0) -> bytes:
    """A pickle of {"w": a float32 tensor over storage 0}; shape and strides as pickled tuples."""
    storage = "(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04tQ"
    call = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}J"
    body = call.encode("latin1") + struct.pack("<i", offset) + f"{shape}{strides}\x89NtR".encode("latin1")
    return b"\x80\x02}U\x01w" + body + b"s."


def test_a_tensor_that_reaches_past_its_storage_is_refused(tmp_path: Path) -> None:
    four = struct.pack("<4f", 1, 2, 3, 4)
    pair, one = "K\x02\x85", "K\x01\x85"
    records = {"data/0": four}
    good = zip_file(tmp_path / "good.pth", tensor(pair, one, 2), **records)
    np.testing.assert_array_equal(read_pth(good)["w"], [3, 4])
    for offset in (3, 2**30, -1):
        refused(zip_file(tmp_path / "bad.pth", tensor(pair, one, offset), **records))
    refused(zip_file(tmp_path / "bad.pth", tensor(pair, "K\x04\x85"), **records))


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth"])
@pytest.mark.parametrize("kept", [0, 3, 40, 1500, -700])
def test_a_truncated_file_is_damaged(name: str, kept: int, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes((FOLDER / name).read_bytes()[:kept])
    assert "damaged" in refused(path)


def test_other_files_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "no weights")
    assert "not one that torch.save writes" in refused(tmp_path / "other.zip")
    script = zip_file(tmp_path / "script.pth", b"\x80\x02N.", **{"constants.pkl": b"\x80\x02).", "code/a.py": b""})
    assert "TorchScript" in refused(script)
    (tmp_path / "list.pth").write_bytes(pickle.dumps([1, 2]))
    assert "not one that torch.save writes" in refused(tmp_path / "list.pth")
    assert "no state dict" in refused(zip_file(tmp_path / "none.pth", pickle.dumps({"epoch": 3}, 2)))


def sizes(shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> bytes:
    """`tensor` of sizes of any size."""

    def numbers(values: Sequence[int]) -> str:
        return "(" + "".join(f"I{value}\n" for value in values) + "t"

    return tensor(numbers(shape), numbers(strides)).replace(b"J\0\0\0\0", f"I{offset}\n".encode())


SIZES = {
    **{f"{count} dimensions": ([1] * count, [1] * count, 0) for count in (17, 33, 80, 100, 200)},
    "an address as a size": ([1] * 32 + [0x414243444546] * 68, [0] * 100, 0),
    "4 GB by a stride of 0": ([10**9], [0], 0),
    "4 TB by a stride of 0": ([10**12], [0], 0),
    "a size of 2**70": ([2**70], [0], 0),
    "a stride of 2**62": ([1, 1], [2**62, 1], 0),
    "a negative stride": ([4], [-1], 0),
    "an offset of 2**70": ([0], [1], 2**70),
    "as many as a file could hold": ([4], [2**40], 0),
}


@pytest.mark.parametrize(("shape", "strides", "offset"), SIZES.values(), ids=SIZES)
def test_sizes_that_the_file_does_not_hold_are_refused(
    shape: list[int], strides: list[int], offset: int, tmp_path: Path
) -> None:
    four = {"data/0": struct.pack("<4f", 1, 2, 3, 4)}
    assert "damaged" in refused(zip_file(tmp_path / "sizes.pth", sizes(shape, strides, offset), **four))
    np.testing.assert_array_equal(read_pth(zip_file(tmp_path / "good.pth", sizes([4], [1]), **four))["w"], [1, 2, 3, 4])


EXPONENTIAL = b"N\x85" + b"2\x86" * 40  # a tuple of two of a tuple of two ...: 2**40 of them to hash or to show
BOMBS = {
    "as a key": b"\x80\x02}" + EXPONENTIAL + b"Ns.",
    "in an OrderedDict": b"\x80\x02ccollections\nOrderedDict\n((" + EXPONENTIAL + b"Nttt\x85R.",
    "as a reference": b"\x80\x02" + EXPONENTIAL + b"Q.",
    "as an encoding": b"\x80\x02c_codecs\nencode\nU\x01x" + EXPONENTIAL + b"\x86R.",
    "as a dtype": b"\x80\x02cnumpy\ndtype\n" + EXPONENTIAL + b"\x85R.",
    "as a device": b"\x80\x02ctorch\ndevice\n" + EXPONENTIAL + b"\x85R.",
    "in a set": b"\x80\x04\x8f(" + EXPONENTIAL + b"\x90.",
    "a million deep as a key": b"\x80\x02}N" + b"\x85" * 10**6 + b"Ns.",
    "8 GB of bytes": b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b"x.",
    "an integer of a million digits": b"\x80\x02I" + b"9" * 10**6 + b"\n.",
    "a name of 500,000 letters": b"\x80\x02c" + b"a" * 500_000 + b"\nx\n.",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_at_once_and_in_one_sentence(bomb: bytes, tmp_path: Path) -> None:
    for path in (zip_file(tmp_path / "bomb.pth", bomb), stream_file(tmp_path / "stream.pth", bomb)):
        with at_once():
            assert len(refused(path)) <= 300


def names(count: int) -> bytes:
    """A pickle of {"0": one tensor, "1": the same tensor, ...}."""
    one = tensor("K\x04\x85", "K\x01\x85")[len(b"\x80\x02}U\x01w") : -len(b"s.")]
    texts = (str(number).encode() for number in range(count))
    items = b"".join(b"U" + bytes([len(text)]) + text + b"h\0" for text in texts)
    return b"\x80\x02" + one + b"q\x000}(" + items + b"u."


def test_a_million_names_are_refused_and_those_of_a_large_network_read(tmp_path: Path) -> None:
    four = {"data/0": struct.pack("<4f", 1, 2, 3, 4)}
    assert len(read_pth(zip_file(tmp_path / "large.pth", names(30_000), **four))) == 30_000
    assert "100,001 arrays" in refused(zip_file(tmp_path / "many.pth", names(100_001), **four))
    with at_once():
        assert "larger than" in refused(zip_file(tmp_path / "million.pth", names(1_000_000), **four))
        assert "instructions" in refused(stream_file(tmp_path / "stream.pth", names(1_000_000)))


def test_compressed_and_encrypted_records_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor("K\x02\x85", "K\x01\x85"))
        archive.writestr("archive/data/0", bytes(400 << 20))
    assert (tmp_path / "deflated.pth").stat().st_size < 1 << 20
    assert "compressed" in refused(tmp_path / "deflated.pth")
    data = bytearray(zip_file(tmp_path / "sound.pth", pickle.dumps({}, 2)).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "encrypted.pth").write_bytes(data)
    assert "encrypted" in refused(tmp_path / "encrypted.pth")
