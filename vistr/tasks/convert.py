"""`task=convert`: other people's weights into our checkpoint, and ours into the original's names."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np

from vistr.config import Config
from vistr.config.compose import from_dict, to_dict
from vistr.errors import UserError
from vistr.models.build import build_model
from vistr.tasks.settings import Convert
from vistr.weights.architecture import backbone_of
from vistr.weights.checkpoint import checkpoint_of, network_of, write_arrays, write_checkpoint
from vistr.weights.detr import our_mask_head
from vistr.weights.formats import WeightFile, find_weights, read_weight_file
from vistr.weights.initial import what_fits
from vistr.weights.kinds import Source, source_of
from vistr.weights.load import shorten
from vistr.weights.names import torch_name, torch_shape

logger = logging.getLogger(__name__)


def run(config: Config) -> dict[str, float]:
    """Convert task.input to task.output; returns no figures.

    A whole VisTR becomes our checkpoint, or (`format=original`; the default of our own checkpoints) a safetensors
    file in the original's names and layout. A part, such as a DETR, becomes what of it fits the configured network,
    in the original's names.
    """
    task = Convert.of(config)
    started = time.monotonic()
    file, output = read_weight_file(find_weights(task.input)), Path(task.output)
    source = source_of(file)
    logger.info("%s: %s (%s), %d arrays", file.path, source.kind, source.format, len(source.arrays))
    if not source.is_whole:
        _write_part(config, source, output)
    elif (task.format or ("original" if source.described else "checkpoint")) == "original":
        _write_original(source, output)
    else:
        _write_checkpoint(config, file, output)
    logger.info("written: %s, %.0f MB, in %.1f s", output, output.stat().st_size / 1e6, time.monotonic() - started)
    return {}


def _write_checkpoint(config: Config, file: WeightFile, output: Path) -> None:
    slots, dilation = config.num_instances, config.backbone.stride == 16
    checkpoint = checkpoint_of(file, num_instances=slots, dilation=dilation)
    network = from_dict(checkpoint.metadata.config)
    # Building the network and loading it is the proof that nothing is missing, left over or misshapen.
    network_of(checkpoint, network)
    checkpoint.metadata.config = to_dict(network)
    head = "" if network.sequence_head == "dilated" else f", sequence_head={network.sequence_head}"
    categories = checkpoint.metadata.categories
    logger.info(
        "%s, %d frames of %d slots, %d categories (%s)%s",
        network.backbone.name,
        network.num_frames,
        network.num_instances,
        len(categories),
        shorten([category.name for category in categories], 3),
        head,
    )
    write_checkpoint(output, checkpoint.model, checkpoint.metadata, {})


def _write_original(source: Source, output: Path) -> None:
    arrays = {name: np.ascontiguousarray(value) for name, value in source.arrays.items()}
    write_arrays(output, arrays, {"format": "pt", "origin": f"{source.path.name}, {source.kind}"})


def _write_part(config: Config, source: Source, output: Path) -> None:
    if Convert.of(config).format == "checkpoint":
        raise UserError(
            f"{source.path} is {source.kind}: most of a checkpoint would be random numbers; convert it with"
            " format=original, or start from it with init="
        )
    backbone = backbone_of(source.arrays)
    if backbone is None:
        raise UserError(f"{source.path} has a backbone that is not known here")
    config.backbone = backbone
    network = build_model(config, drawn=False)
    shapes = {torch_name(p.name): torch_shape(p.name, tuple(p.shape)) for p in network.get_parameters()}
    taken = what_fits(source, shapes)
    left = sorted(name for name in source.arrays if name not in taken and our_mask_head(name) not in taken)
    logger.info("%s; taken: %d arrays that fit transformer.hidden_dim=%d", backbone.name, len(taken), network.channels)
    if left:
        logger.info("left out, %d: %s", len(left), shorten(left, 10))
    write_arrays(output, taken, {"format": "pt", "origin": f"{source.path.name}, {source.kind}"})
