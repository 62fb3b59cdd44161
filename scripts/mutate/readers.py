"""The readers under test by name: each prepares sound inputs in a folder and returns what draws a mutated one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Case:
    """A mutated input: what was changed, the files to write below `folder/input`, and the reading of them, which
    returns what was accepted wrongly ("" where all is well)."""

    change: str
    files: dict[str, bytes]
    read: Callable[[], str]


Maker = Callable[[Random], Case]
Prepare = Callable[[Path], Maker]

_ROOMS = {
    "weights": ("pth", "pickle", "stream", "npz", "npzdeflated", "npy", "npyplain", "safetensors", "ckpt", "apart"),
    "checkpoints": ("checkpoint", "metadata"),
    "annotations": ("annotation", "results", "codes", "ids"),
    "configuration": ("overrides", "resume", "runs", "experiment"),
    "pictures": ("mp4", "gif", "png", "jpg", "tif", "webp", "m3u8"),
    "importers": ("coco", "labelme", "masks"),
    "pictures_of_coco": ("instances", "table"),
}


READERS = {name: f"scripts.mutate.inputs.{room}:{name}" for room, names in _ROOMS.items() for name in names}


def find_reader(name: str) -> Prepare:
    """The reader of a name among READERS, or `module:name` of one in any module's own READERS."""
    # Imported by the child alone: what a reader needs takes seconds.
    module, _, own = READERS.get(name, name).partition(":")
    found: Prepare = importlib.import_module(module).READERS[own]
    return found
