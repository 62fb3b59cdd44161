"""What a run can do: one module a task, imported when it is asked for."""

from __future__ import annotations

import importlib

from vistr.config import Config


def run_task(config: Config) -> dict[str, float]:
    """Run the task the configuration names; returns its figures, such as {"AP": 0.31}."""
    task = importlib.import_module(f"vistr.tasks.{config.task.name}")
    figures: dict[str, float] = task.run(config)
    return figures
