"""`task=score`: the official figures of anyone's results file."""

from __future__ import annotations

import json
from pathlib import Path

from vistr.config import Config
from vistr.errors import UserError
from vistr.evaluation.official import evaluate
from vistr.tasks.settings import Score


def run(config: Config) -> dict[str, float]:
    """Score task.results against task.annotations: the 12 figures, also as a table and in metrics.json.

    metrics.json lies in config.run_dir and holds the figures, those of each category, and the warnings.
    """
    task = Score.of(config)
    evaluation = evaluate(task.annotations, task.results)
    print(evaluation.table())
    if config.run_dir is not None:
        path = Path(config.run_dir) / "metrics.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(evaluation.to_json(), indent=2) + "\n")
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from None
        print(f"\nWritten to {path}")
    return evaluation.figures
