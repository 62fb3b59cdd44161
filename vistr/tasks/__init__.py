"""The tasks, one module each, imported when asked for."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from vistr.runtime import gpu_runtime

if TYPE_CHECKING:
    from vistr.config import Config


def run_task(config: Config) -> dict[str, float]:
    """Run the task the configuration names; returns its figures, such as {"AP": 0.31}."""
    if config.device.threads is not None:
        # MindSpore reads it once, when a task imports it.
        os.environ["OMP_NUM_THREADS"] = str(config.device.threads)
    if config.device.target != "cpu":
        gpu_runtime.prepare()
    task = importlib.import_module(f"vistr.tasks.{config.task.name}")
    figures: dict[str, float] = task.run(config)
    return figures
