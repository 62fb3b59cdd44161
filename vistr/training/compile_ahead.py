"""Compiling a run's graphs in processes of their own, so that what compiling leaves in memory is gone with them."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor

from vistr.config import Config
from vistr.config.compose import from_dict, to_dict
from vistr.data.buckets import Size
from vistr.data.clips import Batch, ClipTargets
from vistr.data.readers import reader_of
from vistr.losses.supervision import bucket, buckets
from vistr.models.build import build_model, graph_cache
from vistr.models.vistr import VisTR
from vistr.runtime import parallel
from vistr.runtime.device import peak_memory_gb, use_device
from vistr.runtime.graph import Graph, num_compiled
from vistr.runtime.graph_cache import digest
from vistr.runtime.subprocess_call import answer_request, ask_apart
from vistr.training.parts import make_optimizer, step_noise
from vistr.training.step import TrainingStep

logger = logging.getLogger(__name__)
# Compiling smaller transformers leaves less behind in a CPU's memory than the second process needs to come up.
MIN_LAYERS = 8
LIMIT_MINUTES = 30


@dataclass(frozen=True)
class Work:
    """Graphs that one process compiles: training steps on a batch of one size, an inference of a clip of that size."""

    clips: int
    height: int
    width: int
    objects: tuple[int, ...]
    """Matched objects of the batch, a step for each; none: no training step."""
    inference: bool = False
    update: bool = True
    """Whether the optimizer's graphs are compiled too, which have no size."""
    sums: bool = False
    """Whether those are too that sum the gradients of several ranks."""

    def __str__(self) -> str:
        parts = [f"a training step with {n} objects" for n in self.objects] + ["inference"] * self.inference
        return f"{self.height}x{self.width}: {', '.join(parts)}"


def first_step(config: Config, first: Batch) -> list[Work]:
    """The graphs of a step like the first."""
    clips, _, height, width = first.padding.shape
    num_matched = sum(min(len(target.labels), config.num_instances) for target in first.targets)
    return [Work(clips, height, width, (bucket(num_matched, config.num_instances * clips),))]


def every_step(config: Config, training: Sequence[Size], evaluation: Sequence[Size]) -> list[Work]:
    """All graphs that a run can meet whose clips are padded to these sizes."""
    clips = config.training.batch_size
    # A batch is padded to the highest and the widest of its clips.
    heights, widths = ({size[axis] for size in training} for axis in (0, 1))
    batches = sorted(product(heights, widths)) if clips > 1 else list(training)
    objects = tuple(buckets(config.num_instances * clips))
    steps = [Work(clips, *size, objects, clips == 1 and size in evaluation, i == 0) for i, size in enumerate(batches)]
    known = {(work.height, work.width) for work in steps if work.inference}
    return steps + [Work(1, *size, (), inference=True, update=False) for size in evaluation if size not in known]


def compile_ahead(config: Config, num_categories: int, ask: Callable[[], Sequence[Work]]) -> float | None:
    """Have the graphs of the works that `ask` tells compiled and kept, unless they are.

    Returns the peak memory in GB of the processes that did; None where there was nothing to do, or all failed: then
    this process will compile for itself.
    """
    cache = graph_cache(config, num_categories)
    layers = config.transformer.num_encoder_layers + config.transformer.num_decoder_layers
    device = use_device(config.device.target, config.device.id)
    if cache is None or (device == "CPU" and layers < MIN_LAYERS) or not is_writable(cache.folder):
        return None
    optimizer = config.optimizer
    settings = (config.num_frames, optimizer.weight_decay, config.transformer.dropout > 0, marks_outside(config))
    asked = [replace(work, sums=work.update and parallel.num_ranks() > 1) for work in ask()]
    notes = {work: cache.folder / digest("compiled", work, *settings) for work in asked}
    works = [work for work, note in notes.items() if not note.exists()]
    if not works:
        return None
    sizes = "1 size" if len(works) == 1 else f"{len(works)} sizes"
    logger.info("compiling for %s of clips, once; about a minute each", sizes)
    begun = time.perf_counter()
    # Alone, on the GPU of this rank.
    own = replace(config.device, id=config.device.id + parallel.local_rank())
    request = {"config": to_dict(replace(config, device=own)), "num_categories": num_categories}
    memory: list[float] = []
    for number, work in enumerate(works, 1):
        started = time.perf_counter()
        answer = ask_apart(
            "vistr.training.compile_ahead",
            {**request, "work": asdict(work)},
            limit_minutes=LIMIT_MINUTES,
            environment=parallel.environment_alone(),
        )
        if "error" in answer:
            logger.info("the process that compiles failed: %s", answer["error"])
            continue
        notes[work].touch()
        memory.append(float(answer["memory_gb"]))
        seconds = time.perf_counter() - started
        logger.info("compiled %d of %d (%s) in %.0f s: %s", number, len(works), answer["num_graphs"], seconds, work)
    if len(works) > 1:
        logger.info("compiled %d of %d in %.0f s", len(memory), len(works), time.perf_counter() - begun)
    return max(memory, default=None)


def is_writable(folder: Path) -> bool:
    """Whether graphs can be kept in `folder`, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def compile_work(request: dict[str, Any], _: Path) -> dict[str, Any]:
    """Take the steps on empty batches that the requested work is; on a CPU every graph is dropped once it is kept."""
    config, work = from_dict(request["config"]), Work(**request["work"])
    device = use_device(config.device.target, config.device.id)
    Graph.drops_after_call = device == "CPU"
    model = build_model(config, request["num_categories"], drawn=False)
    size = (config.num_frames, work.height, work.width)
    if work.objects:
        step = TrainingStep(model, config.loss)
        if work.update:
            compile_update(config, model, step, sums=work.sums)
        for num_objects in work.objects:
            batch = empty_batch(work.clips, *size, num_objects, marks=marks_outside(config))
            step(batch, step_noise(config, work.clips * config.num_frames, 0))
    if work.inference:
        batch = empty_batch(1, *size, 0)
        model(batch.frames, batch.padding)
    return {"num_graphs": num_compiled(), "memory_gb": peak_memory_gb(device)}


def compile_update(config: Config, model: VisTR, step: TrainingStep, *, sums: bool) -> None:
    """Compile the optimizer first, and be rid of its moments, which MindSpore keeps with their graphs."""
    optimizer = make_optimizer(config, model, step)
    gradients = [Tensor(np.zeros(p.shape, np.float32)) for p in step.parameters]
    optimizer.step(gradients, config.optimizer.rates)
    if sums:
        optimizer.compile_sums(optimizer.grouped(gradients))
    for moment in optimizer.moments():
        moment.assign_value(Tensor(np.zeros(1, np.float32)))


def marks_outside(config: Config) -> bool:
    """Whether any clips are made of pictures, so that targets mark the pixels outside these."""
    return any(reader_of(part).pictures for part in config.dataset.by_name.values())


def empty_batch(clips: int, frames: int, height: int, width: int, num_objects: int, *, marks: bool = False) -> Batch:
    """Black clips of one size that share the objects as evenly as can be; `marks`: with pixels marked as outside."""

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
            outside=np.zeros((frames, height, width), bool) if marks else None,
        )

    images = np.zeros((clips, frames, height, width, 3), np.uint8)
    padding = np.zeros((clips, frames, height, width), bool)
    return Batch(images, padding, [target(clip) for clip in range(clips)])


def main(arguments: Sequence[str]) -> int:
    """The process that compiles."""
    return answer_request(arguments, compile_work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
