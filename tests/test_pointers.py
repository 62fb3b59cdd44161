"""Files that were never really downloaded, in place of everything that is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vistr.config.resuming import stored_settings
from vistr.data.images import read_image
from vistr.data.video import VideoFile
from vistr.data.ytvis import read_ytvis
from vistr.errors import UserError
from vistr.evaluation.official import evaluate
from vistr.pointers import stand_in
from vistr.weights.checkpoint import read_checkpoint
from vistr.weights.formats import find_weights

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"
PAGES = [
    b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>",
    b"\xef\xbb\xbf  <HTML lang='en'><body>404</body></HTML>",
    b"<!-- saved -->\n<html>",
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>',
]
WORDS = [(POINTER, "Git LFS.*git lfs pull"), (b"", "empty")]
WORDS += [(page, "a web page.*download it again") for page in PAGES]
READERS: dict[str, Callable[[Path], object]] = {
    "weights.safetensors": read_checkpoint,
    "weights.pth": read_checkpoint,
    "weights.ckpt": read_checkpoint,
    "weights.npz": find_weights,
    "truth.json": lambda path: read_ytvis(path, path.parent),
    "results.json": lambda path: evaluate(path, path),
    "video.mp4": VideoFile,
    "frame.png": read_image,
    "settings.yaml": lambda path: stored_settings(path.parent),
}


@pytest.mark.parametrize(("content", "words"), WORDS)
@pytest.mark.parametrize("name", READERS)
def test_what_lies_in_a_files_place_is_named(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("content", [b"{}", b"\x89PNG", b"<svg/>", b"<?xml version='1.0'?><a/>", b"version: 1"])
def test_other_files_are_not_taken_for_any(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert stand_in(tmp_path / "file") is None
