"""Checkpoints that describe themselves: one safetensors file with weights, optimizer state and metadata.

Other people's whole networks read as checkpoints too: what they do not say is read off their shapes.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from safetensors import SafetensorError

from vistr import __version__
from vistr.data.categories import assumed_categories
from vistr.data.videos import Category
from vistr.errors import UserError
from vistr.files import replacing
from vistr.layers.parameters import set_value
from vistr.weights.architecture import architecture
from vistr.weights.files import WeightFile, find_weights, read_weight_file
from vistr.weights.load import shorten
from vistr.weights.names import from_torch_layout, our_name, our_shape
from vistr.weights.resize import first_frames
from vistr.weights.safetensors_file import DESCRIBED, write_safetensors
from vistr.weights.sources import MODEL, Source, source_of

logger = logging.getLogger(__name__)

OPTIMIZER = "optimizer."
QUERIES = "detector.query_embed"


@dataclass
class TrainingState:
    """Where a training stands: `epoch` counted from 0, the optimizer steps done in it and in all, the best AP so far
    (of the weights, and of their moving average).

    `loss_scale` is half precision's, None before its first step; `steps_at_scale` the steps since it changed;
    `num_ranks` the processes that do the steps. `clips_in_epoch` counts the clips of the epoch's order that all of
    them have seen; None in checkpoints of older versions. `ended` says that the evaluation and the files that are due
    at this step have been made.
    """

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best: float = -1.0
    best_ema: float = -1.0
    loss_scale: float | None = None
    steps_at_scale: int = 0
    num_ranks: int = 1
    clips_in_epoch: int | None = None
    ended: bool = False


@dataclass
class Metadata:
    """What a checkpoint says of itself; `origin` tells of one that no training wrote where it came from."""

    config: dict[str, Any]
    categories: list[Category]
    state: TrainingState = field(default_factory=TrainingState)
    metrics: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: {"vistr": __version__, "mindspore": ms.__version__})
    origin: str = ""


@dataclass
class Checkpoint:
    """A checkpoint's metadata and its arrays; `optimizer` is empty where only weights were saved."""

    path: Path
    metadata: Metadata
    model: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]


def save_checkpoint(path: Path, model: nn.Cell, metadata: Metadata, optimizer: dict[str, np.ndarray]) -> None:
    """Write a checkpoint of `model` as it stands; see `write_checkpoint`."""
    write_checkpoint(path, {p.name: p.asnumpy() for p in model.get_parameters()}, metadata, optimizer)


def write_checkpoint(
    path: Path, model: dict[str, np.ndarray], metadata: Metadata, optimizer: dict[str, np.ndarray]
) -> None:
    """Write a checkpoint; a reader, or a crash, sees the whole new file or the whole old one."""
    arrays = {MODEL + name: value for name, value in model.items()}
    arrays |= {OPTIMIZER + name: value for name, value in optimizer.items()}
    write_arrays(path, arrays, {DESCRIBED: json.dumps(asdict(metadata))})


def write_arrays(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write a safetensors file with checksums, whole or not at all. UserError where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft:
            draft.touch()
            mode = draft.stat().st_mode
            write_safetensors(draft, arrays, metadata)
            draft.chmod(mode)  # the user's umask: the library lets nobody else read it
    except (SafetensorError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be written: {reason}; free some space there, then go on") from error


def read_checkpoint(path: Path | str, *, num_instances: int = 10, dilation: bool = False) -> Checkpoint:
    """Read a checkpoint, the last one of a run's folder, or someone else's whole VisTR; `hf://owner/name/file` too.

    Of someone else's the number of slots and the dilation are as given, which shapes do not tell. UserError for a
    file that is none, or is damaged.
    """
    file = read_weight_file(find_weights(path))
    return checkpoint_of(file, num_instances=num_instances, dilation=dilation)


def checkpoint_of(file: WeightFile, *, num_instances: int = 10, dilation: bool = False) -> Checkpoint:
    """The checkpoint in a file that has been read; as `read_checkpoint`."""
    if not file.described:
        return _of_others(source_of(file), num_instances, dilation)
    return Checkpoint(file.path, _metadata(file.described), _part(file.arrays, MODEL), _part(file.arrays, OPTIMIZER))


def _of_others(source: Source, num_instances: int, dilation: bool) -> Checkpoint:
    path = source.path
    if not source.is_whole:
        raise UserError(f"{path} is {source.kind}, not a whole VisTR: start from it with init={path}")
    config = architecture(source.arrays, path, num_instances=num_instances, dilation=dilation)
    size = {key: config["backbone"][key] for key in ("short_side", "long_side")}
    # Held-out videos of a dataset it was trained on would flatter it: the public validation set is what is left.
    config["dataset"] = {"name": "ytvis2019", "split": "valid", **size}
    categories = assumed_categories(len(source.arrays["vistr.class_embed.bias"]) - 2)
    origin = f"{path.name}, {source.kind} ({source.format})"
    model = {
        our_name(name): from_torch_layout(value, our_shape(name, value.shape)) for name, value in source.arrays.items()
    }
    return Checkpoint(path, Metadata(config, categories, origin=origin), model, {})


def load_weights(model: nn.Cell, checkpoint: Checkpoint, *, exactly: bool = False) -> None:
    """Put a checkpoint's weights into `model`; UserError where the two are different networks.

    A network of fewer frames takes the queries of the checkpoint's first frames, unless the two must agree `exactly`.
    """
    parameters = {p.name: p for p in model.get_parameters()}
    arrays = dict(checkpoint.model)
    if QUERIES in arrays and QUERIES in parameters and not exactly:
        arrays[QUERIES] = first_frames(arrays[QUERIES], len(parameters[QUERIES]), checkpoint.metadata.config)
    strange = sorted(set(parameters) ^ set(arrays))
    strange += sorted(
        name for name in set(parameters) & set(arrays) if tuple(parameters[name].shape) != arrays[name].shape
    )
    if strange:
        raise UserError(f"{checkpoint.path} holds another network than the one configured: {shorten(strange)} differ")
    for name, parameter in parameters.items():
        set_value(parameter, arrays[name])


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


def _metadata(content: dict[str, Any]) -> Metadata:
    return Metadata(
        content["config"],
        [Category(**c) for c in content["categories"]],
        TrainingState(**content["state"]),
        content["metrics"],
        content["versions"],
        content.get("origin", ""),
    )
