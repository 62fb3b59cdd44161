"""Our own checkpoints: their bytes, and what they say of themselves."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from scripts.mutate.changes import change_bytes, change_json
from scripts.mutate.readers import Case, Maker


def _prepare(metadata_only: bool, folder: Path) -> Maker:
    from safetensors.numpy import save

    from vistr.config.compose import load_config, to_dict
    from vistr.data.videos import Category
    from vistr.weights.checkpoint import Metadata, TrainingState, write_checkpoint

    config = to_dict(load_config(["experiments=tiny", f"dataset.root={folder / 'data'}"]))
    categories = [Category(1, "cat"), Category(2, "dog")]
    metadata = Metadata(config, categories, TrainingState(epoch=1, step=3), {"AP": 0.5})
    # The class head's rows are checked against the categories.
    model: dict[str, np.ndarray] = {
        "detector.class_embed.bias": np.ones(4, np.float32),
        "detector.query_embed": np.ones((8, 96), np.float32),
    }
    optimizer: dict[str, np.ndarray] = {"step": np.zeros((), np.int64), "moment": np.ones(3, np.float32)}
    write_checkpoint(folder / "sound.safetensors", model, metadata, optimizer)
    sound = (folder / "sound.safetensors").read_bytes()
    described = json.loads(json.dumps(asdict(metadata)))
    arrays = {f"model.{name}": value for name, value in model.items()}
    path = folder / "input" / "last.safetensors"

    def make(rng: Random) -> Case:
        if metadata_only:
            change, changed = change_json(described, rng)
            text = json.dumps(changed).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
            # No checksums, as in files written before there were any: what is said is what is to be judged.
            return Case(change, {path.name: save(arrays, {"vistr": text})}, lambda: _read(path, config, None))
        change, data = change_bytes(sound, rng, head=3000)
        return Case(change, {path.name: data}, lambda: _read(path, config, model | optimizer))

    return make


def _read(path: Path, config: dict[str, Any], arrays: dict[str, np.ndarray] | None) -> str:
    """What evaluating and going on take from a checkpoint; `arrays` are the right ones, where they are to be."""
    from vistr.config.adopting import adopt_checkpoint
    from vistr.config.compose import from_dict, load_config
    from vistr.weights.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(path)
    from_dict(checkpoint.metadata.config)
    mine = load_config(["task=evaluate", f"checkpoint={path}"])
    adopted = adopt_checkpoint(mine, checkpoint.metadata.config, mine.overrides)
    state = checkpoint.metadata.state
    if not all(type(getattr(state, key)) is int and getattr(state, key) >= 0 for key in ("epoch", "step")):
        return f"a state of {state}"
    if not all(type(c.id) is int and type(c.name) is str for c in checkpoint.metadata.categories):
        return f"categories {checkpoint.metadata.categories}"
    if adopted.dataset.root != mine.dataset.root and adopted.dataset.name == "shapes":
        return f"videos would be generated in {adopted.dataset.root}"
    read = checkpoint.model | checkpoint.optimizer
    if arrays and not all(np.array_equal(read.get(name, np.nan), value) for name, value in arrays.items()):
        return "other numbers than were written"
    return ""


READERS = {"checkpoint": partial(_prepare, False), "metadata": partial(_prepare, True)}
