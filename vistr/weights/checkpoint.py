"""Checkpoints that describe themselves: one safetensors file with weights, optimizer state and metadata.

Other people's whole networks read as checkpoints too: what they do not say is read off their shapes.
"""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from mindspore import nn
from safetensors import SafetensorError

from vistr.config import Config
from vistr.data.categories import assumed_categories
from vistr.errors import UserError, shortened
from vistr.files import replacing
from vistr.layers.parameters import set_value
from vistr.models.build import build_model
from vistr.models.vistr import VisTR
from vistr.runtime.backend import Backend
from vistr.weights.adapting import first_frames, fit_frames
from vistr.weights.architecture import architecture
from vistr.weights.formats import WeightFile, find_weights, read_weight_file
from vistr.weights.kinds import MODEL, Source, source_of
from vistr.weights.load import refuse_not_finite, shorten
from vistr.weights.metadata import Metadata as Metadata
from vistr.weights.metadata import TrainingState as TrainingState
from vistr.weights.metadata import metadata_of
from vistr.weights.names import from_torch_layout, our_name, our_shape
from vistr.weights.safetensors_file import DESCRIBED, write_safetensors

logger = logging.getLogger(__name__)

OPTIMIZER = "optimizer."
QUERIES, TEMPORAL = "detector.query_embed", "detector.transformer.temporal_embed"


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
            write_safetensors(draft, arrays, metadata)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be written: {_reason(error)}; free some space there, then go on") from error


def _reason(error: SafetensorError | OSError) -> str:
    """The system's words for what went wrong; the library puts its own around them."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return os.strerror(int(number[1])) if number else str(getattr(error, "strerror", None) or error)


def read_checkpoint(path: Path | str, *, num_instances: int = 10, dilation: bool = False) -> Checkpoint:
    """Read a checkpoint, the last one of a run's folder, or someone else's whole VisTR; `hf://owner/name/file` too.

    Of someone else's the number of slots and the dilation are as given, which shapes do not tell. UserError for a
    file of another kind, or a damaged one.
    """
    file = read_weight_file(find_weights(path))
    return checkpoint_of(file, num_instances=num_instances, dilation=dilation)


def checkpoint_of(file: WeightFile, *, num_instances: int = 10, dilation: bool = False) -> Checkpoint:
    """The checkpoint in a file that has been read; as `read_checkpoint`."""
    refuse_not_finite(file.path, file.arrays)
    if not file.described:
        return _of_others(source_of(file), num_instances, dilation)
    metadata = metadata_of(file.described, file.path)
    return Checkpoint(file.path, metadata, _part(file.arrays, MODEL), _part(file.arrays, OPTIMIZER))


def checkpoint_to_resume(path: Path | str) -> Checkpoint:
    """The checkpoint to go on from: that of a file, or a run's last one.

    Raises UserError where it has weights alone, or is damaged; for a damaged last one the sentence names another one.
    """
    try:
        checkpoint = read_checkpoint(path)
    except UserError as error:
        folder = Path(path) / "checkpoints"
        others = [file for file in folder.glob("*.safetensors") if file.stem != "last" and "ema" not in file.stem]
        if not others:
            raise
        newest = max(others, key=lambda file: file.stat().st_mtime)
        reason = shortened(str(error).removeprefix(str(folder / "last.safetensors")), 70)
        raise UserError(f"last.safetensors {reason}; go on from the checkpoint before it: resume={newest}") from error
    if not checkpoint.optimizer:
        raise UserError(
            f"{checkpoint.path} holds weights alone: start from it with init=, or resume=<the run's folder>"
        )
    return checkpoint


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
        if TEMPORAL in arrays and TEMPORAL in parameters and len(parameters[TEMPORAL]) < len(arrays[TEMPORAL]):
            arrays[TEMPORAL] = fit_frames(arrays[TEMPORAL], len(parameters[TEMPORAL]))
    strange = sorted(set(parameters) ^ set(arrays))
    strange += sorted(
        name for name in set(parameters) & set(arrays) if tuple(parameters[name].shape) != arrays[name].shape
    )
    if strange:
        raise UserError(f"{checkpoint.path} holds another network than the one configured: {shorten(strange)} differ")
    for name, parameter in parameters.items():
        set_value(parameter, arrays[name])


def network_of(checkpoint: Checkpoint, config: Config, kernels: Backend | None = None) -> VisTR:
    """The network that `config` describes with a checkpoint's weights.

    UserError where the two are different networks, before memory is taken for one that is larger than the checkpoint.
    """
    transformer, held = config.transformer, sum(array.size for array in checkpoint.model.values())
    width = transformer.hidden_dim
    needed = {
        "transformer.hidden_dim": width * width,
        "transformer.feedforward_dim": width * transformer.feedforward_dim,
        "transformer.num_encoder_layers": width * width * transformer.num_encoder_layers,
        "transformer.num_decoder_layers": width * width * transformer.num_decoder_layers,
        "transformer.num_points": width * getattr(transformer, "points_a_head", 1),
        "num_frames": width * config.num_frames,
        "num_instances": width * config.num_frames * config.num_instances,
    }
    for key, count in needed.items():
        if not 0 < count <= held:
            raise UserError(f"{checkpoint.path} holds another network than one of the {key} that it states")
    model = build_model(config, len(checkpoint.metadata.categories), kernels, drawn=False)
    load_weights(model, checkpoint)
    return model


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
