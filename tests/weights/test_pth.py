"""Files of torch.save without torch: every number arrives, and nothing in them runs."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
