"""Folders of runs as training leaves them, without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from vistr.runs.run_record import RunRecord, State, write_record


def fake_run(
    folder: Path,
    *typed: str,
    state: State | None = "finished",
    reason: str | None = None,
    figures: dict[str, float] | None = None,
    config: dict[str, Any] | None = None,
    choices: dict[str, str] | None = None,
    losses: tuple[float, ...] = (),
) -> Path:
    """A run with an entry in metrics.jsonl for each loss, and an evaluation at the end; state None: no status.json."""
    hydra = folder / ".hydra"
    hydra.mkdir(parents=True)
    (hydra / "config.yaml").write_text(yaml.safe_dump({"task": {"name": "train"}, **(config or {})}))
    (hydra / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"choices": choices or {}}}}))
    (hydra / "overrides.yaml").write_text(yaml.safe_dump(list(typed)))
    rows: list[dict[str, Any]] = [
        {"step": step, "epoch": 1 + (step > 2), "kind": "train", "loss": loss, "memory_gb": 1.0 + step}
        for step, loss in enumerate(losses, 1)
    ]
    if figures and losses:
        rows.append({"step": len(losses), "epoch": 2, "kind": "eval", "AP/cat": 0.9, **figures})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if state is not None:
        kept = figures or {}
        write_record(
            folder, RunRecord(state, "train", reason, list(typed), kept, started=1.0, ended=62.0, seconds=61.0)
        )
    return folder
