"""Measuring on this machine: matmul rates, latency, both FPS protocols of the paper, a training step."""

from __future__ import annotations

import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from vistr.data.clips import Batch
from vistr.data.loader import ClipLoader
from vistr.data.videos import VideoSet
from vistr.inference.predictor import Predictor
from vistr.layers.dropout import Noise
from vistr.models.vistr import VisTR
from vistr.runtime import system
from vistr.runtime.device import DeviceName
from vistr.runtime.memory import release
from vistr.training.optimizer import AdamW
from vistr.training.step import TrainingStep

MATMUL_SIZE, MATMUL_REPEATS = 2048, 7
SMALLEST_SIDE = 32
STEP_PARTS = ("data", "forward", "match", "backward", "optimizer", "other")


@dataclass(frozen=True)
class Timing:
    """Seconds of the warm runs, and of the first run, which compiles what is not compiled yet."""

    first_seconds: float
    median_seconds: float
    min_seconds: float
    max_seconds: float
    repeats: int
    per_second: float
    """Frames a second, or clips where that is what a run is about, by the median."""


@dataclass(frozen=True)
class StepTiming:
    """A training step of one clip: its wall clock time, and the parts of the step that took the median time.

    `data` is loading the clip in the foreground (a training run loads ahead); `backward` includes the masks and losses
    that are computed after the matching; `other` is what lies between the parts.
    """

    step: Timing
    parts: dict[str, float]
    num_objects: int


def time_runs(run: Callable[[], object], repeats: int, amount: float = 1) -> Timing:
    """Time a first and then `repeats` warm runs of something that returns when it is done with an `amount`."""
    return _timing([_seconds(run) for _ in range(repeats + 1)], amount)


def matmul_rates(size: int = MATMUL_SIZE, repeats: int = MATMUL_REPEATS) -> dict[str, float]:
    """GFLOP/s of a float32 product of two size x size matrices, by NumPy and by MindSpore: the median run's."""
    left, right = np.random.default_rng(0).standard_normal((2, size, size), np.float32)
    on_device = Tensor(left), Tensor(right)
    runs: dict[str, Callable[[], object]] = {
        "numpy": lambda: left @ right,
        # Reading one element waits for the product; on a GPU copying all of it would take longer than computing it.
        "mindspore": lambda: ops.matmul(*on_device)[0, 0].asnumpy(),
    }
    return {name: time_runs(run, repeats, 2 * size**3 / 1e9).per_second for name, run in runs.items()}


def environment(device: DeviceName, index: int = 0) -> dict[str, Any]:
    """The machine that figures were measured on: processor, cores, threads, memory (GB), versions."""
    return {
        "device": device,
        "gpu": _gpu_name(index) if device == "GPU" else None,
        "cpu": _cpu_name(),
        "cores": system.available_cores(),
        "threads": os.environ.get("OMP_NUM_THREADS", "not set"),
        "memory_gb": system.available_memory() / 1e9,
        "python": platform.python_version(),
        "mindspore": ms.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def time_network(model: VisTR, frames: np.ndarray, padding: np.ndarray, repeats: int) -> Timing:
    """The first FPS protocol: frames in memory to logits, boxes and masks in memory."""

    def run() -> None:
        for output in model(frames, padding):
            output.asnumpy()

    return time_runs(run, repeats, frames.shape[0] * frames.shape[1])


def time_pipeline(predictor: Predictor, video_set: VideoSet, repeats: int) -> Timing:
    """The second FPS protocol: image files to run-length coded tracks, one video of one clip a run, in turn."""
    with closing(predictor.results(video_set, itertools.cycle(video_set.videos))) as results:
        return time_runs(lambda: next(results), repeats, len(video_set.videos[0]))


def time_training(
    step: TrainingStep,
    optimizer: AdamW,
    rates: tuple[float, float],
    loader: ClipLoader,
    noise: Callable[[int], Noise],
    repeats: int,
) -> StepTiming:
    """Train on `loader`'s clips: a first step and `repeats` warm ones; `noise(number)` is what drops out in a step."""
    batches = _endless(loader)
    steps = [_train_once(step, optimizer, rates, batches, noise, number) for number in range(repeats + 1)]
    batches.close()
    totals = [sum(parts.values()) for parts, _ in steps]
    timing = _timing(totals, 1)
    parts, num_objects = steps[1 + totals[1:].index(timing.median_seconds)]
    return StepTiming(timing, parts, num_objects)


def thirds(num_frames: int) -> list[int]:
    """A third, two thirds and all of the frames."""
    return sorted({max(1, round(num_frames * part / 3)) for part in (1, 2, 3)})


def sweep_sizes(whole: tuple[int, int], heights: list[int], divisor: int) -> list[tuple[int, int]]:
    """(height, width) at the heights, or at a half, three quarters and all of the whole one.

    Widths keep the aspect ratio. Sides that are not given are multiples of `divisor`: padding would hide differences.
    """

    def rounded(side: float) -> int:
        return max(SMALLEST_SIDE, round(side / divisor) * divisor)

    height, width = whole
    chosen = heights or [*(min(height, rounded(height * part)) for part in (0.5, 0.75)), height]
    return [(h, width if h == height else rounded(width * h / height)) for h in sorted(set(chosen))]


def _train_once(
    step: TrainingStep,
    optimizer: AdamW,
    rates: tuple[float, float],
    batches: Iterator[Batch],
    noise: Callable[[int], Noise],
    number: int,
) -> tuple[dict[str, float], int]:
    """Seconds of the parts of one step, which add up to its wall clock time, and the objects it saw."""
    started = time.perf_counter()
    batch = next(batches)
    loaded = time.perf_counter()
    result = step(batch, noise(number))
    stepped = time.perf_counter()
    optimizer.step(result.gradients, rates)
    release(result.gradients)
    ended = time.perf_counter()
    parts = {name: result.seconds[name] for name in ("forward", "match", "backward")}
    parts |= {"data": loaded - started, "optimizer": ended - stepped}
    parts["other"] = max(0.0, ended - started - sum(parts.values()))
    return {name: parts[name] for name in STEP_PARTS}, sum(len(target.labels) for target in batch.targets)


def _endless(loader: ClipLoader) -> Generator[Batch, None, None]:
    for epoch in itertools.count():
        yield from loader.epoch(epoch)


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _timing(seconds: list[float], amount: float) -> Timing:
    """The first run apart; the median is a run's own time, the lower one of an even number."""
    first, *warm = seconds
    median = statistics.median_low(warm)
    return Timing(first, median, min(warm), max(warm), len(warm), amount / median)


def _gpu_name(index: int) -> str:
    try:
        return str(ms.hal.get_device_name(index, "GPU"))
    except (RuntimeError, ValueError):
        return "unknown"


def _cpu_name() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()
