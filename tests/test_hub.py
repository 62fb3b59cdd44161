"""Addresses on the Hugging Face Hub: what is fetched, what is checked, and what is said where that fails."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from vistr.errors import UserError
from vistr.hub import is_remote, local_file

CONTENT = b"some weights"


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Every download answers with a file in a cache like Hugging Face's; its arguments are kept."""
    blob = tmp_path / "blobs" / hashlib.sha256(CONTENT).hexdigest()
    blob.parent.mkdir()
    blob.write_bytes(CONTENT)
    link = tmp_path / "weights.pth"
    link.symlink_to(blob)
    asked: list[tuple[Any, ...]] = []

    def download(repository: str, file: str, revision: str | None = None) -> str:
        asked.append((repository, file, revision))
        return str(link)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


@pytest.mark.parametrize("convert", [str, Path])
def test_an_address_names_repository_revision_and_file(convert: Any, cached: list[tuple[Any, ...]]) -> None:
    assert local_file(convert("hf://owner/some.name/weights.pth")).read_bytes() == CONTENT
    local_file(convert("hf://owner/name@v1.0/folder/weights.pth"))
    assert cached == [("owner/some.name", "weights.pth", None), ("owner/name", "folder/weights.pth", "v1.0")]


def test_paths_stay_paths(cached: list[tuple[Any, ...]]) -> None:
    assert local_file("a/b.pth") == Path("a/b.pth")
    assert not is_remote("hf/b.pth")
    assert not cached


@pytest.mark.parametrize("address", ["hf://", "hf://owner", "hf://owner/name", "hf://owner/name@/file"])
def test_half_an_address_is_one_sentence(address: str) -> None:
    with pytest.raises(UserError, match=r"write hf://owner/name/file"):
        local_file(address)


def test_a_damaged_copy_is_named(cached: list[tuple[Any, ...]], tmp_path: Path) -> None:
    blob = next((tmp_path / "blobs").iterdir())
    blob.write_bytes(CONTENT + b"!")
    with pytest.raises(UserError, match=f"its copy {blob} is damaged"):
        local_file("hf://owner/name/weights.pth")


FAILURES = {
    "no network": (errors.LocalEntryNotFoundError("offline"), "the Hub cannot be reached: go online"),
    "offline mode": (errors.OfflineModeIsEnabled("offline"), "the Hub cannot be reached: go online"),
    "a file that is not there": (errors.EntryNotFoundError("404"), "owner/name has no file weights.pth"),
    "anything else": (RuntimeError("the cable broke\nin two"), "could not be downloaded: the cable broke"),
}


@pytest.mark.parametrize(("failure", "sentence"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_one_sentence(failure: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise failure

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(UserError) as error:
        local_file("hf://owner/name/weights.pth")
    assert str(error.value).startswith("hf://owner/name/weights.pth")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_the_library_itself_offline(tmp_path: Path) -> None:
    code = "from vistr.hub import local_file; local_file('hf://owner/name/weights.pth')"
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    root = Path(__file__).parents[1]
    shown = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True)
    assert "UserError: hf://owner/name/weights.pth is not in the cache" in shown.stderr
