"""What a GPU would have to hold and launch, found on stand-ins without one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests import tiny
from tests.processes import run
from vistr.devices import stand_ins
from vistr.errors import UserError
from vistr.tasks import rehearse

KEYS = {
    "objects",
    "peak_gb",
    "held_gb",
    "launches",
    "host_seconds",
    "compile_seconds",
    "host_reads",
    "to_device_mb",
}
TYPED = (
    "task=rehearse",
    "backbone=r10",
    "transformer=small",
    "num_frames=2",
    "num_instances=3",
    "task.objects=[1,3]",
    "task.height=40",
    "task.width=64",
    "task.repeats=1",
)


@pytest.mark.slow
@pytest.mark.skipif(stand_ins.why_not() is not None, reason=str(stand_ins.why_not()))
def test_training_and_inference_are_rehearsed_without_a_gpu(tmp_path: Path) -> None:
    said = run(tmp_path, *TYPED)
    report = json.loads(next(tmp_path.glob("outputs/rehearse/*/rehearsal.json")).read_text())
    rows = [*report["training"], report["inference"]]
    assert [row["objects"] for row in rows] == [1, 3, 3]
    assert all(set(row) >= KEYS for row in rows)
    assert all(0 < row["held_gb"] < row["peak_gb"] < 4 for row in rows)
    assert all(row["launches"] > 100 and row["host_seconds"] > 0 and row["compile_seconds"] > 0 for row in rows)
    # 2 frames of 64x64 in float32, and what goes with them.
    assert all(row["to_device_mb"] > 0.09 and row["host_reads"] > 0 for row in rows)
    assert report["network"] == "r10, 2 frames of 64x64, batch 1, fp32"
    assert "8 and more" in said
    assert "workspaces" in said


def test_a_card_needs_more_than_the_peak() -> None:
    found = {"training": [{"objects": 4, "peak_gb": 9.5}], "inference": {"objects": 10, "peak_gb": 2.0}}
    assert rehearse.needed(found["training"][0]) == pytest.approx(11.45)
    fits = {card: rehearse.fitting(found, card) for card in rehearse.CARDS_GB}
    assert [card for card in fits if fits[card]["training"]["4"]] == [12, 16, 24, 32, 40, 80]
    assert all(fit["inference"] for fit in fits.values())


def test_without_a_compiler_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "gcc" else f"/usr/bin/{tool}")
    with pytest.raises(UserError, match=r"^task=rehearse needs .*gcc not found: install gcc .*\.$"):
        rehearse.run(replace(tiny.config(), run_dir=str(tmp_path)))
