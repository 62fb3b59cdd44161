"""Every task has its settings and its module, and a required input is asked for by the key that is typed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from vistr import load_config
from vistr.config import Config
from vistr.errors import UserError
from vistr.tasks.settings import TASKS, Evaluating, Infer


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_module_that_runs_it(name: str) -> None:
    spec = importlib.util.find_spec(f"vistr.tasks.{name}")
    assert spec is not None
    assert spec.origin is not None
    assert "\ndef run(config: Config)" in Path(spec.origin).read_text()


def test_the_settings_of_another_task_are_not_taken() -> None:
    assert Evaluating.of(Config()) is not None
    with pytest.raises(TypeError, match="task=train"):
        Infer.of(Config())


def test_a_study_sets_keys_of_its_training_whatever_the_task() -> None:
    config = load_config(["experiments=quickstart", "task=benchmark"])
    assert config.task == TASKS["benchmark"]
    assert config.num_frames == 4


def test_a_key_of_another_task_is_refused_where_it_is_typed() -> None:
    for typed in ("log_every", "checkpoint_every"):
        with pytest.raises(UserError, match=rf"{typed}= belongs to task=train and has no effect on task=benchmark"):
            load_config(["task=benchmark", f"task.{typed}=3"])
