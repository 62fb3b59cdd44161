"""What a GPU would have to hold and launch, found on stand-ins without one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.processes import run
from vistr.errors import UserError
from vistr.runtime.devices import stand_ins
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
# The paper's clip, whose size costs nothing on idle kernels, and a network that compiles in half a minute.
TYPED = (
    "task=rehearse",
    "backbone=r10",
    "transformer=small",
    "transformer.dropout=0.1",
    "task.objects=[4,10]",
    "task.height=300",
    "task.width=540",
    "task.repeats=1",
)
needs_stand_ins = pytest.mark.skipif(stand_ins.why_not() is not None, reason=str(stand_ins.why_not()))


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The report, and what was printed."""
    folder = tmp_path_factory.mktemp("rehearsal")
    said = run(folder, *TYPED)
    return json.loads(next(folder.glob("outputs/rehearse/*/rehearsal.json")).read_text()), said


@pytest.mark.slow
@needs_stand_ins
def test_training_and_inference_are_rehearsed_without_a_gpu(rehearsed: tuple[dict[str, Any], str]) -> None:
    report, said = rehearsed
    rows = [*report["training"], report["inference"]]
    assert [row["objects"] for row in rows] == [4, 10, 10]
    assert all(set(row) >= KEYS for row in rows)
    assert all(0 < row["held_gb"] < row["peak_gb"] for row in rows)
    assert all(row["launches"] > 100 and row["host_seconds"] > 0 and row["host_reads"] > 0 for row in rows)
    assert rows[0]["compile_seconds"] > 0
    assert report["network"] == "r10, 36 frames of 320x544, batch 1, fp32"
    # At least the frames, of 8 bits a value.
    assert all(row["to_device_mb"] > 36 * 320 * 544 * 3 / 1e6 for row in rows)
    assert "8 and more" in said
    assert "workspaces" in said


@pytest.mark.slow
@needs_stand_ins
def test_memory_on_a_gpu_does_not_grow_with_the_objects(rehearsed: tuple[dict[str, Any], str]) -> None:
    four, ten = rehearsed[0]["training"]
    # Slices whose gradients are all of full size, and dropout factors that are all made first, would take several times
    # that.
    assert four["peak_gb"] < 3.4
    assert ten["peak_gb"] < 1.2 * four["peak_gb"]
    # Measured: 2.28 GB, all ten objects together.
    assert rehearsed[0]["inference"]["peak_gb"] < 2.6


@pytest.mark.slow
@needs_stand_ins
def test_graphs_hold_little_between_steps(rehearsed: tuple[dict[str, Any], str]) -> None:
    # Measured: 0.14 GB, and 0.21 after an inference. It was 0.65 and 0.94 while every graph held its last inputs.
    assert rehearsed[0]["training"][1]["held_gb"] < 0.25
    assert rehearsed[0]["inference"]["held_gb"] < 0.35


@pytest.mark.slow
@needs_stand_ins
def test_a_step_launches_few_kernels_and_is_read_little(rehearsed: tuple[dict[str, Any], str]) -> None:
    four, ten = rehearsed[0]["training"]
    # Measured: 3,448 and 5,570, an inference 1,289. Chunks as small as a CPU's would be several times that.
    assert four["launches"] < 4_000
    assert ten["launches"] < 6_500
    assert rehearsed[0]["inference"]["launches"] < 1_500
    assert max(four["host_reads"], ten["host_reads"], rehearsed[0]["inference"]["host_reads"]) <= 25


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
