"""Compiling a training's graphs in a process of its own, so that what compiling leaves in memory is gone with it."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor

from vistr.apart import answer_request, ask_apart
from vistr.config import Config
from vistr.config.compose import from_dict, to_dict
from vistr.data.clips import Batch, ClipTargets
from vistr.device import peak_memory_gb, use_device
from vistr.layers.dropout import step_noise
from vistr.layers.graph import Graph, num_compiled
from vistr.layers.graph_cache import digest
from vistr.losses.supervision import bucket
from vistr.models.build import build_model, graph_cache
from vistr.models.vistr import VisTR
from vistr.tasks.training_parts import make_optimizer, make_schedule, make_step
from vistr.training.step import TrainingStep

logger = logging.getLogger(__name__)
# Compiling smaller transformers leaves less behind than the second process needs to come up.
MIN_LAYERS = 8
LIMIT_MINUTES = 30


def compile_ahead(config: Config, num_categories: int, first: Callable[[], Batch]) -> float | None:
    """Have the graphs of a training step on a batch like the `first` compiled and kept, unless they are.

    Returns the peak memory in GB of the process that did; None where there was nothing to do, or it failed: then this
    process will compile for itself.
    """
    cache = graph_cache(config, num_categories)
    layers = config.transformer.num_encoder_layers + config.transformer.num_decoder_layers
    if cache is None or layers < MIN_LAYERS:
        return None
    batch = first()
    clips, frames, _, height, width = batch.frames.shape
    num_matched = sum(min(len(target.labels), config.num_instances) for target in batch.targets)
    size = [clips, frames, height, width, bucket(num_matched, config.num_instances * clips)]
    optimizer = config.optimizer
    note = cache.folder / digest("step", size, optimizer.weight_decay, config.transformer.dropout > 0)
    if note.exists() or not is_writable(cache.folder):
        return None
    logger.info("compiling a training step for %dx%dx%d, once; about a minute", clips * frames, height, width)
    started = time.perf_counter()
    request = {"config": to_dict(config), "num_categories": num_categories, "size": size}
    answer = ask_apart("vistr.tasks.compile_ahead", request, limit_minutes=LIMIT_MINUTES)
    if "error" in answer:
        logger.info("the process that compiles failed: %s", answer["error"])
        return None
    logger.info("compiled %d graphs in %.0f s", answer["num_graphs"], time.perf_counter() - started)
    note.touch()
    return float(answer["memory_gb"])


def is_writable(folder: Path) -> bool:
    """Whether graphs can be kept in `folder`, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def compile_step(request: dict[str, Any], _: Path) -> dict[str, Any]:
    """Take a step on an empty batch of the requested size, dropping every graph once it is kept."""
    config = from_dict(request["config"])
    Graph.forgetful = True
    model = build_model(config, request["num_categories"])
    step = make_step(config, model)
    compile_update(config, model, step)
    step(empty_batch(*request["size"]), step_noise(config.transformer.dropout, 0, 0))
    device = use_device(config.device.target, config.device.id)
    return {"num_graphs": num_compiled(), "memory_gb": peak_memory_gb(device)}


def compile_update(config: Config, model: VisTR, step: TrainingStep) -> None:
    """Compile the optimizer first, and be rid of its moments, which MindSpore keeps with their graphs."""
    optimizer = make_optimizer(config, model, step)
    optimizer.step([Tensor(np.zeros(p.shape, np.float32)) for p in step.parameters], make_schedule(config).rates(0, 0))
    for moment in optimizer.moments():
        moment.assign_value(Tensor(np.zeros(1, np.float32)))


def empty_batch(clips: int, frames: int, height: int, width: int, num_objects: int) -> Batch:
    """Black clips of one size that share the objects as evenly as can be."""

    def target(clip: int) -> ClipTargets:
        count = (num_objects + clip) // clips
        return ClipTargets(
            labels=np.ones(count, np.int64),
            boxes=np.full((count, frames, 4), 0.5, np.float32),
            valid=np.ones((count, frames), bool),
            masks=np.zeros((count, frames, height, width), np.uint8),
            video_id=clip,
            frames=list(range(frames)),
            size=(height, width),
            original_size=(height, width),
        )

    images = np.zeros((clips, frames, 3, height, width), np.float32)
    padding = np.zeros((clips, frames, height, width), bool)
    return Batch(images, padding, [target(clip) for clip in range(clips)])


def main(arguments: Sequence[str]) -> int:
    """The process that compiles."""
    return answer_request(arguments, compile_step)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
