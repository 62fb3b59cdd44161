"""`task=rehearse`: what training and inference would ask of a GPU, found without one."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import Any

from vistr.config import Config
from vistr.config.compose import to_dict
from vistr.data.buckets import padded
from vistr.errors import UserError
from vistr.files import write_json
from vistr.runtime import gpu_runtime
from vistr.runtime.devices import stand_ins
from vistr.runtime.subprocess_call import ask_apart
from vistr.tasks.settings import Rehearse

logger = logging.getLogger(__name__)
CARDS_GB = (8, 11, 12, 16, 24, 32, 40, 80)
# Beside what MindSpore's pool holds: CUDA's context and code, and what share of the pool fragments and cuDNN may take.
CONTEXT_GB = 1.0
WORKSPACE_SHARE = 0.1
UNKNOWN = (
    "the time of kernels: the GPU may take longer than the host",
    f"cuDNN's workspaces and the pool's fragments: {WORKSPACE_SHARE:.0%} of the peak are added for them",
    f"CUDA's context and code: {CONTEXT_GB:g} GB are added for them",
    "values: nothing is computed",
)
# Key, title and format of the table's columns.
COLUMNS = (
    ("peak_gb", "peak GB", ".2f"),
    ("held_gb", "held GB", ".2f"),
    ("launches", "launches", "d"),
    ("host_seconds", "host s", ".3f"),
    ("compile_seconds", "compile s", ".0f"),
    ("host_reads", "reads", "d"),
    ("host_writes", "writes", "d"),
    ("device_copies", "copies", "d"),
    ("to_device_mb", "MB to", ".1f"),
    ("from_device_mb", "MB from", ".1f"),
)


def run(config: Config) -> dict[str, float]:
    """Rehearse, and write rehearsal.json into the run's folder; returns the main figures.

    UserError where the stand-ins cannot be built, or the network cannot be rehearsed.
    """
    if (lacking := stand_ins.why_not()) is not None:
        raise UserError(f"task=rehearse needs stand-ins for CUDA, which cannot be built: {lacking}.")
    task = Rehearse.of(config)
    height, width = padded_size(config)
    objects = task.objects or sorted({min(n, config.num_instances) for n in (1, 4, config.num_instances)})
    size = f"{config.num_frames} frames of {height}x{width}, batch {config.training.batch_size}"
    network = f"{config.backbone.name}, {size}, {config.device.precision}"
    logger.info("rehearsing %s on kernels that do nothing; compiling takes minutes", network)
    device = replace(config.device, target="gpu", id=0, keep_graphs=False)
    steps = [[height, width, n] for n in objects]
    request = {"config": to_dict(replace(config, device=device)), "steps": steps}
    environment = {**os.environ, gpu_runtime.STAND_INS: str(stand_ins.ready()), "GLOG_v": "3"}
    found = ask_apart("vistr.benchmark.device_steps", request, environment=environment)
    if "traceback" in found:
        raise RuntimeError(found["traceback"])
    if "error" in found:
        raise UserError(f"The network could not be rehearsed: {found.get('mistake', found['error'])}")
    report = {
        "network": network,
        "recompute": config.device.recompute,
        **found,
        "cards_gb": {str(card): fitting(found, card) for card in CARDS_GB},
        "not_known": list(UNKNOWN),
    }
    write_json(config.folder / "rehearsal.json", report)
    logger.info("\n%s\n\nAll figures: %s", table(report), os.path.relpath(config.folder / "rehearsal.json"))
    most = max(found["training"], key=lambda row: row["peak_gb"])
    return {
        "training_memory_gb": most["peak_gb"],
        "launches": most["launches"],
        "host_seconds": most["host_seconds"],
        "inference_memory_gb": found["inference"]["peak_gb"],
    }


def padded_size(config: Config) -> tuple[int, int]:
    """Height and width of the clips in pixels, padded as the dataset's are."""
    task, divisor = Rehearse.of(config), config.dataset.evaluated_part.size_divisor
    return padded(task.height, divisor), padded(task.width, divisor)


def fitting(found: dict[str, Any], card: float) -> dict[str, Any]:
    """Which of the rehearsed steps a card of that many GB would hold, by number of objects, and the inference."""
    return {
        "training": {str(row["objects"]): needed(row) <= card for row in found["training"]},
        "inference": needed(found["inference"]) <= card,
    }


def needed(row: dict[str, Any]) -> float:
    """The memory in GB that a card should have."""
    return CONTEXT_GB + (1 + WORKSPACE_SHARE) * float(row["peak_gb"])


def table(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    rows = [(f"training, {row['objects']} objects", row) for row in report["training"]]
    rows.append((f"inference, {report['inference']['objects']} slots", report["inference"]))
    lines = ["  ".join([f"{'':22}", *(f"{title:>9}" for _, title, _ in COLUMNS), " fits GB"])]
    for name, row in rows:
        cards = [card for card in CARDS_GB if needed(row) <= card]
        figures = [f"{row[key]:>9{how}}" for key, _, how in COLUMNS]
        lines.append("  ".join([f"{name:22}", *figures, f" {cards[0]} and more" if cards else " none"]))
    return "\n".join([*lines, "", "What an idle GPU cannot tell:", *(f"  {sentence}" for sentence in UNKNOWN)])
