"""Training steps at the paper's size, beside what `task=rehearse` foresaw of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.gpu_check.processes import ROOT, Row, overrides, run
from vistr.config.compose import load_config, to_dict
from vistr.runtime.subprocess_call import ask_apart

NETWORKS = {
    "paper": overrides("backbone=r50 num_frames=36"),
    "small": overrides("backbone=r10 transformer=small num_frames=2 num_instances=3"),
}
# [height, width, objects]: padded, 300x540 is 320x544; a second size and a second number of objects after it.
STEPS = {"paper": ([320, 544, 10], [320, 320, 10], [320, 320, 4]), "small": ([64, 96, 3], [64, 64, 3])}
REPEATS = 3


def step_rows(device: str, size: str, precision: str, folder: Path) -> Iterator[Row]:
    """Time and memory of a step with every object slot in use, then of others in the same process."""
    name = f"{size} size, {precision}"
    typed = [*NETWORKS[size], f"device={device}", f"device.precision={precision}", "device.keep_graphs=false"]
    config = to_dict(load_config(typed))
    config["task"]["repeats"] = REPEATS
    found = ask_apart("vistr.benchmark.device_steps", {"config": config, "steps": STEPS[size]}, limit_minutes=60)
    if "error" in found:
        yield Row(f"training steps, {name}", False, found["error"])
        return
    for row in found["training"]:
        what = f"a training step with {row['objects']} objects at {row['height']}x{row['width']}, {name}"
        yield Row(what, True, figures(row))
    yield Row(f"an inference, {name}", True, figures(found["inference"]))
    yield rehearsal_row(size, precision, folder, found)


def figures(row: dict[str, Any]) -> str:
    """Time and memory in words."""
    return (
        f"{row['host_seconds']:.3g} s, compiling {row['compile_seconds']:.0f} s; {row['peak_gb']:.2f} GB at the most,"
        f" {row['held_gb']:.2f} held"
    )


def rehearsal_row(size: str, precision: str, folder: Path, found: dict[str, Any]) -> Row:
    """What the rehearsal says of the first of the steps, beside what was measured."""
    height, width, objects = STEPS[size][0]
    place = folder / f"rehearsal_{precision}"
    command = [sys.executable, str(ROOT / "run.py"), "task=rehearse", *NETWORKS[size], f"device.precision={precision}"]
    command += [f"task.height={height}", f"task.width={width}", f"task.objects=[{objects}]", f"task.repeats={REPEATS}"]
    why = run([*command, f"outputs={place}", f"hydra.run.dir={place / 'run'}"], minutes=60)
    name = f"task=rehearse beside it, {size} size, {precision}"
    if why:
        return Row(name, False, why)
    rehearsed = json.loads((place / "run/rehearsal.json").read_text(encoding="utf-8"))
    pairs = ((rehearsed["training"][0], found["training"][0]), (rehearsed["inference"], found["inference"]))
    words = [
        f"{what}: peak {ours['peak_gb']:.2f} GB (measured {theirs['peak_gb']:.2f}), host {ours['host_seconds']:.3g} s"
        f" (with the GPU {theirs['host_seconds']:.3g}), {ours['launches']} launches"
        for what, (ours, theirs) in zip(("training", "inference"), pairs, strict=True)
    ]
    return Row(name, True, "; ".join(words))
