"""Training steps and an inference on the stand-ins of a GPU: what they hold, launch, copy, and cost the host."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mindspore as ms

from vistr.apart import answer_request
from vistr.config.compose import from_dict
from vistr.devices import stand_ins
from vistr.layers.dropout import step_noise
from vistr.layers.memory import release
from vistr.models.build import build_model
from vistr.tasks.compile_ahead import empty_batch
from vistr.tasks.training_parts import make_optimizer, make_plan, make_schedule, make_step

NUM_CATEGORIES = 40


def rehearse(request: dict[str, Any], _: Path) -> dict[str, Any]:
    """Figures of a training step for every number of objects, and of one inference."""
    config = from_dict(request["config"])
    model = build_model(config, NUM_CATEGORIES)
    step = make_step(config, model)
    optimizer = make_optimizer(config, model, step)
    rates, scale = make_schedule(config).rates(0, 0), make_plan(config).loss_scale or 1.0
    noise = step_noise(config.transformer.dropout, config.seed, 0)
    clips = config.optimizer.batch_size
    shape = (clips, config.num_frames, request["height"], request["width"])

    def train(num_objects: int) -> Callable[[], None]:
        batch = empty_batch(*shape, num_objects * clips)

        def run() -> None:
            gradients = step(batch, noise, None, scale).gradients
            optimizer.step(gradients, rates, scale)
            release(gradients)

        return run

    def infer() -> None:
        batch = empty_batch(1, *shape[1:], 0)
        outputs = model(batch.frames, batch.padding)
        outputs.logits.asnumpy(), outputs.masks.asnumpy()

    repeats = config.task.repeats
    return {
        "training": [{"objects": n, **measure(train(n), repeats)} for n in request["objects"]],
        "inference": {"objects": config.num_instances, **measure(infer, repeats)},
    }


def measure(run: Callable[[], None], repeats: int) -> dict[str, float]:
    """What one of several equal runs takes, the first of which also compiles."""
    ms.runtime.reset_peak_memory_stats()
    first = seconds_of(run)
    seconds = []
    for _ in range(repeats):
        before = stand_ins.counts()
        seconds.append(seconds_of(run))
        counted = stand_ins.counts() - before
    median = statistics.median(seconds)
    return {
        "peak_gb": ms.runtime.max_memory_allocated() / 1e9,
        "held_gb": ms.runtime.memory_allocated() / 1e9,
        "launches": counted.launches,
        "host_seconds": median,
        "compile_seconds": max(0.0, first - median),
        "host_reads": counted.host_reads,
        "host_writes": counted.host_writes,
        "device_copies": counted.device_copies,
        "to_device_mb": counted.to_device / 1e6,
        "from_device_mb": counted.from_device / 1e6,
    }


def seconds_of(run: Callable[[], None]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    run()
    ms.runtime.synchronize()
    return time.perf_counter() - started


def main(arguments: Sequence[str]) -> int:
    """The process that rehearses."""
    return answer_request(arguments, rehearse)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
