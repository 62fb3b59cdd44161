"""What earlier versions stored, and keys as they were typed then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import vistr.config.compose
from vistr import load_config
from vistr.config.command import Sources
from vistr.config.compose import from_dict
from vistr.config.old_keys import renamed
from vistr.config.resuming import SETTINGS, recorded_overrides
from vistr.config.schema import Config
from vistr.errors import UserError
from vistr.runs.runs import read_run
from vistr.tasks.settings import Evaluate, Train
from vistr.training.settings import StepSchedule

STORED = Path(__file__).with_name("settings_of_0.1.yaml")


@pytest.fixture
def stored() -> dict[str, Any]:
    """Every setting of a run of version 0.1."""
    content: dict[str, Any] = yaml.safe_load(STORED.read_text())
    return content


def hold(config: Config) -> None:
    """Whether the settings are those that were stored."""
    assert (config.backbone.name, config.num_frames, config.transformer.hidden_dim) == ("r10", 2, 96)
    assert (config.loss.class_weight, config.optimizer.clip_norm) == (6.0, 5.0)
    assert (config.training.epochs, config.training.max_steps, config.training.ema) == (7, 1, 0.99)
    assert config.schedule == StepSchedule(drop_epoch=6)
    assert isinstance(config.task, Train)
    assert (config.task.evaluate_every, config.task.save_minutes) == (7, 10.0)


def test_a_checkpoint_of_an_earlier_version_describes_the_same_network(stored: dict[str, Any]) -> None:
    hold(from_dict(stored))


def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    (tmp_path / SETTINGS).write_text(STORED.read_text())
    hold(load_config([f"resume={tmp_path}"]))


def test_a_drop_that_was_never_to_come_still_never_comes(stored: dict[str, Any]) -> None:
    stored["optimizer"]["drop_epoch"] = None
    assert from_dict(stored).schedule == StepSchedule(drop_epoch=None)


def test_inputs_move_to_the_task_that_has_them(stored: dict[str, Any]) -> None:
    stored |= {"checkpoint": "run", "task": stored["task"] | {"name": "evaluate", "min_score": 0.5}}
    assert from_dict(stored).task == Evaluate(checkpoint="run", min_score=0.5)


def test_runs_of_both_versions_are_compared_by_one_name(tmp_path: Path) -> None:
    (tmp_path / SETTINGS).write_text(STORED.read_text() + "\nunknown: 1\n")
    run = read_run(tmp_path, "old")
    assert run.settings["task.evaluate_every"] == 7
    assert "checkpoint" not in run.settings
    assert recorded_overrides(tmp_path)[0] == "experiments=quickstart"


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("checkpoint=run", "task.checkpoint=run"),
        ("+input='a=b'", "+task.input='a=b'"),
        ("min_score=0.5", "task.min_score=0.5"),
        ("experiment=tiny", "experiments=tiny"),
        ("optimizer.epochs=3", "training.epochs=3"),
        ("++optimizer.warmup_steps=3", "++schedule.warmup_steps=3"),
        ("optimizer.learning_rate=3", "optimizer.learning_rate=3"),
        ("num_frames=3", "num_frames=3"),
        ("dataset.annotations=x", "dataset.annotations=x"),
    ],
)
def test_keys_work_as_they_were_typed(typed: str, means: str) -> None:
    assert renamed(typed) == means


def test_a_study_that_was_written_before_sets_what_it_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiments").mkdir()
    study = "defaults:\n  - tiny\n  - _self_\noptimizer:\n  epochs: 5\n  drop_epoch: 4\n  batch_size: 2\n"
    (tmp_path / "experiments" / "mine.yaml").write_text(f"# @package _global_\n{study}")
    monkeypatch.setattr(vistr.config.compose, "_sources", Sources(extra=tmp_path))
    config = load_config(["experiments=mine", "optimizer.batch_size=3"])
    assert (config.training.epochs, config.schedule.drop_epoch, config.training.batch_size) == (5, 4, 3)
    assert load_config(["experiments=mine", "schedule=cosine"]).schedule.name == "cosine"
    (tmp_path / "experiments" / "mine.yaml").write_text("# @package _global_\noptimizer:\n  epochs: many\n")
    with pytest.raises(UserError, match=r"training\.epochs"):
        load_config(["experiments=mine"])
