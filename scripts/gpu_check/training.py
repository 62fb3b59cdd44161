"""Whole runs of run.py: twenty steps in both precisions, and the benchmark."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from scripts.gpu_check.processes import ROOT, Row, overrides, run
from vistr.runtime import gpu_runtime

NUM_STEPS = 20
TRAINING = overrides(
    "experiments=quickstart num_frames=2 dataset.num_videos=12 dataset.video_length=4 dataset.height=64 "
    "dataset.width=96 dataset.holdout=0 dataset.num_workers=1 dataset.augmentation.flip=0 task.log_every=5 "
    "training.batch_size=1 training.epochs=1 schedule.drop_epoch=1 schedule.warmup_steps=0 "
    f"optimizer.learning_rate=1e-4 optimizer.backbone_learning_rate=1e-4 training.max_steps={NUM_STEPS}"
)
PAPER = overrides("task=benchmark backbone=r50 num_frames=36 task.height=300 task.width=540 task.sweep=false")
SMALL = overrides(
    "task=benchmark backbone=r18 transformer=small num_frames=3 num_instances=3 task.height=64 task.width=96 "
    "task.sweep=false task.repeats=2"
)


def training_rows(device: str, folder: Path) -> Iterator[Row]:
    """Do the losses follow those of the CPU in float32?"""
    yield from (follow := Following(folder)).start()
    if follow.truth is None:
        return
    for precision, first, mean in (("fp32", 1e-3, 0.02), ("fp16", 0.02, 0.05)):
        yield from follow.rows(device, precision, first, mean)


class Following:
    """Twenty steps on the CPU, and how closely others follow them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.truth: list[float] | None = None

    def start(self) -> Iterator[Row]:
        """The steps on the CPU."""
        rows, why = train("cpu", "fp32", self.folder / "cpu")
        self.truth = None if why else [row["loss"] for row in rows]
        if why:
            yield Row(f"{NUM_STEPS} steps on the CPU, fp32", False, why)

    def rows(self, device: str, precision: str, first: float, mean: float) -> Iterator[Row]:
        """The same steps on a device: its first loss, and all of them on average, within these relative limits."""
        name = f"{NUM_STEPS} steps, {precision}"
        rows, why = train(device, precision, self.folder / f"{device}_{precision}")
        if why:
            yield Row(name, False, why)
            return
        assert self.truth is not None
        off = np.abs(np.array([row["loss"] for row in rows], float) / np.array(self.truth) - 1)
        figure = (
            f"first loss off by {off[0]:.2g} (limit {first:g}), {len(off)} on average by {off.mean():.2g} ({mean:g})"
        )
        passed = len(off) == NUM_STEPS and off[0] <= first and off.mean() <= mean
        yield Row(f"{name}: losses follow the CPU's", bool(passed), figure)
        yield Row(f"{name}: memory", True, f"{rows[-1]['memory_gb']:.2f} GB at the most")
        if precision == "fp16":
            updates = sum(row["grad_norm"] is not None for row in rows)
            figure = f"{updates} of {NUM_STEPS} steps updated, loss scale {rows[-1]['loss_scale']:g}"
            yield Row(f"{name}: gradients stay finite", updates >= NUM_STEPS - 5, figure)


def ranks_rows(device: str, folder: Path) -> Iterator[Row]:
    """Do two processes follow one with a batch of two? By NCCL on GPUs, where there are two."""
    name = "two processes follow one"
    if device == "gpu" and (count := gpu_runtime.num_gpus()) < 2:
        yield Row(name, True, f"not tried: {count} GPU")
        return
    alone, why = train(device, "fp32", folder / "one", "training.batch_size=2")
    if why is None:
        both, why = train(device, "fp32", folder / "two", processes=2)
    if why:
        yield Row(name, False, why)
        return
    pairs = [(a["loss"], b["loss"]) for a, b in zip(alone, both, strict=False)]
    off = max(abs(b / a - 1) for a, b in pairs[:3])
    figure = f"the first {len(pairs[:3])} losses off by {off:.2g} (limit 0.01), {len(both)} steps"
    yield Row(name, bool(off <= 0.01) and len(both) == len(alone), figure)


def train(
    device: str, precision: str, folder: Path, *more: str, processes: int = 1
) -> tuple[list[dict[str, Any]], str | None]:
    """The records of a training run's steps; why it failed, if it did."""
    command = [sys.executable, str(ROOT / "run.py"), *TRAINING, f"device={device}", f"device.precision={precision}"]
    if processes > 1:
        command = [str(ROOT / "scripts/launch"), str(processes), *command]
    command += more
    # From random weights gradients are large, and steps that overflow would have no counterpart on the CPU.
    command.append("device.loss_scale=64")
    why = run([*command, f"outputs={folder / 'outputs'}", f"hydra.run.dir={folder / 'run'}"], minutes=30)
    file = folder / "run/metrics.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    return [row for row in rows if row["kind"] == "train"], why


def benchmark_rows(device: str, size: str, precision: str, folder: Path) -> Iterator[Row]:
    """What `task=benchmark` measures at the paper's size, or at a small one."""
    name = f"task=benchmark, {size} size, {precision}"
    folder = folder / f"benchmark_{precision}"
    command = [sys.executable, str(ROOT / "run.py"), *(PAPER if size == "paper" else SMALL), f"device={device}"]
    command += [f"device.precision={precision}", f"outputs={folder}", f"hydra.run.dir={folder / 'run'}"]
    why = run(command, minutes=60)
    if why:
        yield Row(name, False, why)
        return
    found = json.loads((folder / "run/benchmark.json").read_text(encoding="utf-8"))
    network, pipeline = found["network"]["per_second"], found["pipeline"]["per_second"]
    yield Row(f"{name}: inference", True, f"{network:.3g} frames/s, {pipeline:.3g} with loading and post-processing")
    rate = found["attained"]
    shares = ", ".join(f"{share:.2f} of {name}'s product" for name, share in rate["share_of_matmul"].items())
    yield Row(f"{name}: rate", True, f"{rate['gflop_per_second']:.0f} GFLOP/s: {shares}")
    step = found["training"]["step"]["median_seconds"]
    parts = ", ".join(f"{part} {seconds:.3g}" for part, seconds in found["training"]["parts"].items())
    yield Row(f"{name}: a training step", True, f"{step:.3g} s ({parts})")
    memory = found["memory_gb"]
    yield Row(f"{name}: memory", True, f"{memory['network']:.2f} GB inference, {memory['training']:.2f} GB training")
