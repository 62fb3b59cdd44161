"""The program that kills trainings: a small share of its kills, and that it sees what differs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from scripts.kill_check.comparison import differences
from vistr.files import ROOT
from vistr.training.tracking import Tracker


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder, as far as two are compared."""
    folder = tmp_path / "run"
    with Tracker(folder) as tracker:
        tracker.scalars(1, {"loss": 2.0, "seconds_forward": 0.5}, "train", epoch=1)
        tracker.scalars(1, {"AP": 0.5}, "eval", epoch=1)
    (folder / "results").mkdir()
    (folder / "results/results.json").write_text("[]")
    (folder / "status.json").write_text('{"state": "finished"}')
    save(folder, {"a": np.ones(3, np.float32)})
    return folder


def save(folder: Path, arrays: dict[str, np.ndarray], state: dict[str, Any] | None = None) -> None:
    content = {"state": state or {"step": 1}, "metrics": {"AP": 0.5}, "categories": []}
    (folder / "checkpoints").mkdir(exist_ok=True)
    save_file(arrays, folder / "checkpoints/last.safetensors", {"vistr": json.dumps(content)})


def test_equal_runs_have_no_differences(run: Path) -> None:
    other = shutil.copytree(run, run.with_name("other"))
    lines = (other / "metrics.jsonl").read_text().replace('"seconds_forward": 0.5', '"seconds_forward": 0.7')
    (other / "metrics.jsonl").write_text(lines)
    assert differences(run, other) == []


def test_every_sort_of_difference_is_said(run: Path) -> None:
    other = shutil.copytree(run, run.with_name("other"))

    def check(expected: str) -> None:
        nonlocal other
        found = differences(run, other)
        assert len(found) == 1
        assert expected in found[0]
        shutil.rmtree(other)
        other = shutil.copytree(run, other)

    with (other / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1, "epoch": 1, "kind": "eval", "AP": 0.5}\n')
    check("metrics.jsonl: rows")
    (other / "metrics.jsonl").write_text((run / "metrics.jsonl").read_text().replace('"AP": 0.5', '"AP": 0.25'))
    check("metrics.jsonl: step 1 eval")
    save(other, {"a": np.ones(3, np.float32) + np.float32(1e-7)})
    check("last.safetensors: 1 arrays differ, ['a']")
    save(other, {"a": np.ones(3, np.float32)}, {"step": 2})
    check("last.safetensors: state {'step': 2}, not {'step': 1}")
    (other / "checkpoints/last.safetensors").unlink()
    check("last.safetensors: missing")
    (other / "results/results.json").write_text("[1]")
    check("results/results.json: other contents")
    (other / "checkpoints/.last.safetensors.half").touch()
    check("left over")
    (other / "status.json").write_text('{"state": "running"}')
    check("status.json says running")
    with Tracker(other, resume_step=1) as tracker:
        tracker.text("config", "x")
        tracker._add_scalars({"eval/AP": 0.5})  # an evaluation that stands twice for TensorBoard alone
    check("TensorBoard")


@pytest.mark.slow
def test_killed_trainings_go_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    check = [sys.executable, "-m", "scripts.kill_check", "--count", "3", "--seed", "1", "--work", str(tmp_path)]
    ended = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 of 3 kills went on to an equal run" in ended.stdout
