"""Training steps and an inference on a GPU, or on the stand-ins of one: memory, kernel launches, copies and time."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mindspore as ms

from vistr.config import Config
from vistr.config.compose import from_dict
from vistr.models.build import build_model
from vistr.models.vistr import VisTR
from vistr.runtime.device import DeviceName, peak_memory_gb, use_device
from vistr.runtime.devices import stand_ins
from vistr.runtime.memory import release
from vistr.runtime.subprocess_call import answer_request
from vistr.tasks.settings import Rehearse
from vistr.training.compile_ahead import empty_batch, marks_outside
from vistr.training.parts import make_optimizer, step_noise
from vistr.training.step import TrainingStep

NUM_CATEGORIES = 40


def measure_steps(request: dict[str, Any], _: Path) -> dict[str, Any]:
    """Figures of training steps, [height, width, objects] each, and of an inference at the first one's size.

    One after the other in this process, on black clips: graphs hold what they hold in a run that meets all of them.
    """
    config = from_dict(request["config"])
    device = use_device(config.device.target, config.device.id)
    model = build_model(config, NUM_CATEGORIES)
    train, repeats = training_steps(config, model), Rehearse.of(config).repeats
    height, width, _ = request["steps"][0]

    def infer() -> None:
        batch = empty_batch(1, config.num_frames, height, width, 0)
        outputs = model(batch.frames, batch.padding)
        outputs.logits.asnumpy(), outputs.masks.asnumpy()

    training = [
        {"height": h, "width": w, "objects": n, **measure(train(h, w, n), repeats, device)}
        for h, w, n in request["steps"]
    ]
    return {
        "training": training,
        "inference": {"objects": config.num_instances, **measure(infer, repeats, device)},
    }


def training_steps(config: Config, model: VisTR) -> Callable[[int, int, int], Callable[[], None]]:
    """Training as configured: of a height, a width and a clip's objects the step to call, on black clips."""
    step = TrainingStep(model, config.loss)
    optimizer = make_optimizer(config, model, step)
    rates, scale = config.optimizer.rates, config.device.first_loss_scale or 1.0
    clips = config.training.batch_size
    noise = step_noise(config, clips * config.num_frames, 0)

    def train(height: int, width: int, num_objects: int) -> Callable[[], None]:
        size = config.num_frames, height, width
        batch = empty_batch(clips, *size, num_objects * clips, marks=marks_outside(config))

        def run() -> None:
            gradients = step(batch, noise, None, scale).gradients
            optimizer.step(gradients, rates, scale)
            release(gradients)

        return run

    return train


def measure(run: Callable[[], None], repeats: int, device: DeviceName) -> dict[str, Any]:
    """What one of several equal runs takes, the first of which also compiles; calls are counted on stand-ins alone."""
    ms.runtime.reset_peak_memory_stats()
    first = seconds_of(run)
    seconds, before = [], stand_ins.counts()
    for _ in range(repeats):
        before = stand_ins.counts()
        seconds.append(seconds_of(run))
    counted, median = stand_ins.counts() - before, statistics.median(seconds)
    return {
        "peak_gb": peak_memory_gb(device),
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
    """How long it takes, the device included."""
    started = time.perf_counter()
    run()
    ms.runtime.synchronize()
    return time.perf_counter() - started


def main(arguments: Sequence[str]) -> int:
    """The process that measures."""
    return answer_request(arguments, measure_steps)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
