"""`task=inspect`: what a file of weights says of itself, and what its shapes tell."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
import yaml

from vistr.config import Config
from vistr.errors import UserError
from vistr.tasks.settings import Inspect
from vistr.weights.architecture import backbone_of
from vistr.weights.checkpoint import Checkpoint, checkpoint_of
from vistr.weights.formats import find_weights, read_weight_file
from vistr.weights.kinds import source_of
from vistr.weights.load import shorten

logger = logging.getLogger(__name__)


def run(config: Config) -> dict[str, float]:
    """Print what task.checkpoint is; returns the metrics it carries."""
    path = find_weights(Inspect.of(config).checkpoint)
    file = read_weight_file(path)
    source = source_of(file)
    lines = [f"{path}", f"  {source.kind}, {source.format}, {path.stat().st_size / 1e6:.1f} MB"]
    metrics: dict[str, float] = {}
    try:
        if source.is_whole:
            checkpoint = checkpoint_of(file, num_instances=config.num_instances)
            metrics = checkpoint.metadata.metrics
            lines += describe(checkpoint)
        else:
            backbone = backbone_of(source.arrays)
            lines.append(f"  backbone     {'not known here' if backbone is None else backbone.name}")
            lines.append(f"  arrays       {_count(source.arrays.values())}")
            lines.append("  use          init= starts a training from it")
    except UserError as error:
        lines.append(f"  incomplete   {error}")
    logger.info("\n".join(lines))
    return metrics


def describe(checkpoint: Checkpoint) -> list[str]:
    """A whole network's lines: architecture, classes, training, metrics, versions, configuration."""
    metadata, saved = checkpoint.metadata, checkpoint.metadata.config
    names = [category.name for category in metadata.categories]
    transformer = saved.get("transformer", {})
    kind = "deformable " if transformer.get("name") == "deformable" else ""
    layers = f"{transformer.get('num_encoder_layers')} {kind}+ {transformer.get('num_decoder_layers')} layers"
    width = f"width {transformer.get('hidden_dim')}, {transformer.get('num_heads')} heads"
    lines = [
        f"  backbone     {saved.get('backbone', {}).get('name')}",
        f"  transformer  {layers}, {width}, feed-forward {transformer.get('feedforward_dim')}",
        f"  frames       {saved.get('num_frames')} of {saved.get('num_instances')} slots",
        f"  3-D head     {saved.get('sequence_head', 'dilated')}",
        f"  weights      {_count(checkpoint.model.values())}",
        f"  classes      {len(names)}: {shorten(names, 8)}",
    ]
    if metadata.origin:
        lines.append(f"  origin       {metadata.origin}")
    if metadata.state.step:
        done = f"{metadata.state.epoch} epochs, {metadata.state.step} steps"
        lines.append(f"  trained      {done}; optimizer state: {'kept' if checkpoint.optimizer else 'left out'}")
    if metadata.metrics:
        lines.append("  metrics      " + ", ".join(f"{key} {value:.3f}" for key, value in metadata.metrics.items()))
    lines.append("  versions     " + ", ".join(f"{name} {version}" for name, version in metadata.versions.items()))
    return [*lines, "  config", *(f"    {line}" for line in _yaml({k: v for k, v in saved.items() if v is not None}))]


def _count(arrays: Iterable[np.ndarray]) -> str:
    known = list(arrays)
    return f"{sum(array.size for array in known) / 1e6:.2f} M numbers in {len(known)} arrays"


def _yaml(content: dict[str, Any]) -> list[str]:
    text: str = yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
    return text.splitlines()
