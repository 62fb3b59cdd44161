"""Runs as they lie on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.fake_runs import fake_run
from vistr.errors import UserError
from vistr.runs.comparison import compare
from vistr.runs.comparison_files import write_files
from vistr.runs.comparison_tables import text_table
from vistr.runs.runs import final_training_figures, find_runs, read_run


def test_folders_of_runs_of_sweeps_and_patterns_lead_to_runs_each_once(tmp_path: Path) -> None:
    fake_run(tmp_path / "train" / "b")
    for name in ("10_c", "2_d"):
        fake_run(tmp_path / "sweeps" / "s_1" / name)
    fake_run(tmp_path / "compare" / "e", config={"task": {"name": "compare"}})
    names = [run.name for run in find_runs([str(tmp_path)])]
    assert names == ["sweeps/s_1/2_d", "sweeps/s_1/10_c", "train/b"]
    assert [run.name for run in find_runs([f"{tmp_path}/sweeps/*", f"{tmp_path}/sweeps/s_1/2_d"])] == ["2_d", "10_c"]
    assert find_runs([str(tmp_path / "train" / "b")], leave_out=tmp_path / "train" / "b") == []


@pytest.mark.parametrize(("pattern", "sentence"), [("nothing*", "matches nothing"), ("empty", "no run below")])
def test_a_pattern_that_leads_nowhere_is_said(
    pattern: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=sentence):
        find_runs([pattern])


def test_a_run_says_what_it_was_set_to_and_what_came_out(tmp_path: Path) -> None:
    folder = fake_run(
        tmp_path / "a",
        "backbone=r18",
        "+dataset/augmentation=none",
        figures={"AP": 0.5},
        config={"optimizer": {"learning_rate": 1e-4}},
        choices={"backbone": "r18", "hydra/launcher": "basic"},
        losses=(3.0, 2.0),
    )
    run = read_run(folder, "a")
    assert run.typed == ("backbone", "dataset/augmentation")
    assert (run.setting("backbone"), run.setting("optimizer.learning_rate"), run.setting("x")) == ("r18", 1e-4, None)
    assert (run.state, run.seconds, run.figures) == ("finished", 61.0, {"AP": 0.5})
    assert run.curve("train", "loss") == ([1, 2], [3.0, 2.0])


def test_a_run_older_than_its_record_still_has_its_figures(tmp_path: Path) -> None:
    run = read_run(fake_run(tmp_path / "a", state=None, figures={"AP": 0.5}, losses=(4.0, 3.0, 2.0, 1.0)), "a")
    assert run.state == "unknown"
    assert run.figures == {"AP": 0.5, "steps": 4, "loss": 1.5, "memory_gb": 5.0}
    assert read_run(fake_run(tmp_path / "b", state=None), "b").state == "not started"


def test_a_training_is_summed_up_by_its_last_epoch() -> None:
    rows = [
        {"step": 1, "epoch": 1, "kind": "train", "loss": 9.0, "clips_per_second": 1.0, "memory_gb": 2.0},
        {"step": 2, "epoch": 2, "kind": "train", "loss": 4.0, "clips_per_second": 3.0, "memory_gb": 3.0},
        {"step": 3, "epoch": 2, "kind": "train", "loss": None, "clips_per_second": 5.0, "memory_gb": 1.0},
        {"step": 3, "epoch": 2, "kind": "eval", "AP": 0.1},
    ]
    assert final_training_figures(rows) == {"steps": 3, "loss": 4.0, "clips_per_second": 3.0, "memory_gb": 3.0}
    assert final_training_figures([]) == {}


DAMAGE = [b"", b"\xff\xfe\x00", b"task: x", b"[1, 2]", b"x", b"{", b"[" * 3000, b"a: &a [*a]", b"{[]: 3, 1: 2}"]
DAMAGE += [b"task: [x]\nhydra: 3", b"hydra: {runtime: {choices: [1]}}", b"hydra: {runtime: x}", b"seed: .inf"]
DAMAGE += [b'{"state": "running", "pid": "x"}', b'{"state": "finished", "figures": {"AP": "x", "loss": [1]}}']
DAMAGE += [b'{"state": ["finished"]}', b'{"state": "finished", "seconds": 1e999, "reason": 3, "overrides": 5}']
DAMAGE += [b'{"figures": {"AP": "0.5"}}', b'{"step": 1, "kind": "eval", "AP": "x"}', b'{"step": 1, "kind": "train"}']


@pytest.mark.parametrize("file", [".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "status.json"])
def test_one_damaged_folder_leaves_a_comparison_whole(file: str, tmp_path: Path) -> None:
    fake_run(tmp_path / "good", figures={"AP": 0.5}, config={"seed": 1}, choices={"backbone": "r18"}, losses=(3.0,))
    for number, damage in enumerate(DAMAGE):
        state = None if number % 2 else "finished"
        damaged = fake_run(
            tmp_path / f"d{number}", figures={"AP": 0.25}, config={"seed": 2}, state=state, losses=(2.0,)
        )
        (damaged / file).write_bytes(damage)
        for other in ("metrics.jsonl", "metrics.json"):
            (damaged / other).write_bytes(damage)
    comparison = compare(find_runs([str(tmp_path)]))
    assert len(comparison.runs) == 1 + len(DAMAGE)
    assert comparison.runs[0].name == "good"
    assert "good" in text_table(comparison)
    write_files(comparison, tmp_path / "out", "comparison", "all")


def test_a_folder_read_for_a_comparison_reveals_nothing_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER_SECRET", "hunter2")
    fake_run(tmp_path / "a", config={"dataset": {"root": "${oc.env:USER_SECRET}", "seed": "${seed}"}, "seed": 5})
    (run,) = find_runs([str(tmp_path)])
    assert run.setting("dataset.root") == "${oc.env:USER_SECRET}"
    assert run.setting("dataset.seed") == 5
