"""`task=benchmark`: what the configured network costs on this machine, as a table, files and a figure."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from vistr.benchmark import measure as measuring
from vistr.benchmark import summary as reporting
from vistr.benchmark.network_costs import YTVIS_CATEGORIES, Part, frame_size, point_of
from vistr.config import Config
from vistr.config.adopting import adopt_checkpoint
from vistr.config.compose import to_dict
from vistr.config.run_names import override_key
from vistr.config.schema import is_path
from vistr.errors import UserError
from vistr.files import write_json
from vistr.runtime.subprocess_call import ask_apart
from vistr.tasks.settings import Benchmark
from vistr.weights.checkpoint import read_checkpoint

logger = logging.getLogger(__name__)
SWEEP_REPEATS = 3


def run(config: Config) -> dict[str, float]:
    """Measure, and write benchmark.json, .md and .png into the run's folder; returns the main figures.

    Everything is measured in processes of their own, one after the other, so that each peak of memory is its own.
    UserError where the configured network itself cannot be measured.
    """
    folder = config.folder
    task = Benchmark.of(config)
    if task.checkpoint is not None:
        checkpoint = read_checkpoint(task.checkpoint)
        config = adopt_checkpoint(config, checkpoint.metadata.config, config.overrides)
    logger.info("measuring %s; compiling takes a while", reporting.describe(point_of(config, YTVIS_CATEGORIES)))
    answer = measured(config, "inference") | {"training": None}
    if task.training:
        trained = measured(config, "training")
        answer |= trained | {"memory_gb": answer["memory_gb"] | trained["memory_gb"]}
    typed = [override for override in config.overrides if not is_path(override_key(override))]
    report = {"overrides": typed, **answer, "sweep": []}
    logger.info("\n%s", reporting.table(report))
    save(report, folder)
    if task.sweep:
        report["sweep"] = sweep(config, answer)
        save(report, folder)
    logger.info("\nThe table, all figures and the picture: %s/benchmark.md, .json, .png", os.path.relpath(folder))
    return reporting.main_figures(report)


def measured(config: Config, part: Part) -> dict[str, Any]:
    """What a process of its own found of the configured network; UserError, or the process's error, where it failed."""
    answer = measure_apart(config, part)
    if "traceback" in answer:
        raise RuntimeError(answer["traceback"])
    if "mistake" in answer:
        raise UserError(answer["mistake"])
    if "error" in answer:
        raise UserError(
            f"The network could not be measured ({answer['error']}): choose a smaller num_frames=, task.height= and "
            "task.width=, or leave out the training step with task.training=false."
        )
    return answer


def save(report: dict[str, Any], folder: Path) -> None:
    """Write the run's three files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "benchmark.json", report)
    (folder / "benchmark.md").write_text(reporting.markdown(report), encoding="utf-8")
    reporting.draw(report, folder / "benchmark.png")


def sweep(config: Config, known: dict[str, Any]) -> list[dict[str, Any]]:
    """The network alone at every num_frames and size; a point that fails has an "error" instead of its figures.

    `known` are the figures of the configured point, which is not measured again.
    """
    logger.info("\nThe network alone at other num_frames and sizes:\n%s", reporting.sweep_header())
    points, task = [], Benchmark.of(config)
    for height, width in measuring.sweep_sizes(
        frame_size(config), task.sweep_heights, config.dataset.evaluated_part.size_divisor
    ):
        for num_frames in task.sweep_frames or measuring.thirds(config.num_frames):
            point = {"num_frames": num_frames, "height": height, "width": width}
            found = known
            if any(known[key] != value for key, value in point.items()):
                found = measure_apart(at_point(config, num_frames, height, width), "network", task.limit_minutes)
            kept = ("network", "memory_gb", "gflop", "error", "traceback")
            points.append({**point, **{key: found[key] for key in kept if key in found}})
            logger.info("%s", reporting.sweep_row(points[-1]))
    return points


def at_point(config: Config, num_frames: int, height: int, width: int) -> Config:
    """The configuration of one point of the sweep: random weights, for queries belong to num_frames."""
    task = Benchmark.of(config)
    repeats = min(task.repeats, SWEEP_REPEATS)
    task = replace(task, height=height, width=width, repeats=repeats, checkpoint=None)
    return replace(config, num_frames=num_frames, task=task)


def measure_apart(config: Config, part: Part, limit_minutes: float | None = None) -> dict[str, Any]:
    """What `measure` returns, measured in a new process; {"error": why} where that fails or takes too long.

    More of an error is told as `answer_request` tells it.
    """
    request = {"config": to_dict(config), "part": part}
    return ask_apart("vistr.benchmark.network_costs", request, limit_minutes=limit_minutes)
