"""Checkpoints that describe themselves: one safetensors file with weights, optimizer state and metadata."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vistr import __version__
from vistr.data.videos import Category
from vistr.errors import UserError
from vistr.layers.parameters import set_value
from vistr.weights.load import shorten

MODEL, OPTIMIZER = "model.", "optimizer."


@dataclass
class TrainingState:
    """Where a training stands: `epoch` counted from 0, the optimizer steps done in it and in all.

    `loss_scale` is half precision's, None before its first step; `steps_at_scale` the steps since it changed;
    `num_ranks` the processes that do the steps.
    """

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best: float = -1.0
    loss_scale: float | None = None
    steps_at_scale: int = 0
    num_ranks: int = 1


@dataclass
class Metadata:
    """What a checkpoint says of itself."""

    config: dict[str, Any]
    categories: list[Category]
    state: TrainingState = field(default_factory=TrainingState)
    metrics: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: {"vistr": __version__, "mindspore": ms.__version__})


@dataclass
class Checkpoint:
    """A checkpoint's metadata and its arrays; `optimizer` is empty where only weights were saved."""

    path: Path
    metadata: Metadata
    model: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]


def save_checkpoint(path: Path, model: nn.Cell, metadata: Metadata, optimizer: dict[str, np.ndarray]) -> None:
    """Write a checkpoint; a reader, or a crash, sees the whole new file or the whole old one."""
    arrays = {MODEL + p.name: p.asnumpy() for p in model.get_parameters()}
    arrays |= {OPTIMIZER + name: value for name, value in optimizer.items()}
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, draft, {"vistr": json.dumps(asdict(metadata))})
        os.replace(draft, path)
    except (SafetensorError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be written: {reason}; free some space and resume the run") from error
    finally:
        with suppress(OSError):
            draft.unlink()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, or the last one of a run's folder. UserError for a file that is none, or is damaged."""
    if path.is_dir():
        path = path / "checkpoints" / "last.safetensors"
    if not path.is_file():
        raise UserError(f"{path} does not exist: name a checkpoint file or a run's folder that holds one")
    try:
        with safe_open(path, framework="numpy") as file:
            described = (file.metadata() or {}).get("vistr")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or no checkpoint ({error}): use another one, or train anew") from error
    if described is None:
        raise UserError(f"{path} holds weights but was not written by vistr: start from it with init={path}")
    return Checkpoint(path, _metadata(json.loads(described)), _part(arrays, MODEL), _part(arrays, OPTIMIZER))


def load_weights(model: nn.Cell, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into `model`; UserError where the two are different networks."""
    parameters = {p.name: p for p in model.get_parameters()}
    strange = sorted(set(parameters) ^ set(checkpoint.model))
    strange += sorted(
        name
        for name in set(parameters) & set(checkpoint.model)
        if tuple(parameters[name].shape) != checkpoint.model[name].shape
    )
    if strange:
        raise UserError(f"{checkpoint.path} holds another network than the one configured: {shorten(strange)} differ")
    for name, parameter in parameters.items():
        set_value(parameter, checkpoint.model[name])


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


def _metadata(content: dict[str, Any]) -> Metadata:
    return Metadata(
        content["config"],
        [Category(**c) for c in content["categories"]],
        TrainingState(**content["state"]),
        content["metrics"],
        content["versions"],
    )
