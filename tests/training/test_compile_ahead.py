"""A training's graphs compiled in a process of their own: once, and loaded by the training."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

from tests import tiny
from tests.processes import SMALL, run
from vistr.config import Config, Dataset
from vistr.data.clips import Batch
from vistr.losses.supervision import bucket
from vistr.models.build import build_model
from vistr.runtime import backend, parallel
from vistr.runtime.parallel import Ranks
from vistr.training import compile_ahead as module
from vistr.training.compile_ahead import (
    Work,
    compile_ahead,
    compile_update,
    empty_batch,
    every_step,
    first_step,
    marks_outside,
)
from vistr.training.parts import make_optimizer
from vistr.training.step import TrainingStep

CLIP = tiny.clip(0, 2)
TYPED = (
    *SMALL,
    "training.max_steps=1",
    "transformer.num_encoder_layers=4",
    "transformer.num_decoder_layers=4",
)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the other process was asked, which answers at once and keeps nothing."""
    requests: list[dict[str, Any]] = []

    def ask(module: str, request: dict[str, Any], **_: Any) -> dict[str, Any]:
        requests.append(request["work"])
        return {"num_graphs": 3, "memory_gb": 1.5}

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "ask_apart", ask)
    monkeypatch.setattr(module, "MIN_LAYERS", 0)
    return requests


def ask(config: Config, batch: Batch = CLIP) -> float | None:
    return compile_ahead(config, tiny.NUM_CATEGORIES, lambda: first_step(config, batch))


def test_a_size_is_compiled_once(asked: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert [ask(tiny.config()) for _ in range(2)] == [1.5, None]
    assert asked == [
        {"clips": 1, "height": 32, "width": 64, "objects": (2,), "inference": False, "update": True, "sums": False},
    ]
    assert caplog.messages[-2].startswith("compiling for 1 size of clips, once")
    assert caplog.messages[-1].endswith("32x64: a training step with 2 objects")
    assert ask(tiny.config(), empty_batch(1, 2, 32, 96, 2)) == 1.5
    assert ask(replace(tiny.config(), num_instances=5)) == 1.5


@pytest.mark.slow
def test_what_several_ranks_sum_gradients_by_is_kept_beforehand(
    asked: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "num_ranks", lambda: 2)
    config = tiny.config()
    ask(config)
    assert asked[0]["sums"]

    class Pair(Ranks):
        def all_reduce(self) -> Any:
            return lambda gradients: gradients

    model = build_model(config, tiny.NUM_CATEGORIES)
    step = TrainingStep(model, config.loss)
    compile_update(config, model, step, sums=True)
    kept = {file.name for file in tmp_path.rglob("*.mindir")}
    optimizer = make_optimizer(config, model, step, Pair(0, 2))
    optimizer.step([Tensor(np.ones(p.shape, np.float32)) for p in step.parameters], config.optimizer.rates)
    assert kept
    assert {file.name for file in tmp_path.rglob("*.mindir")} == kept


def test_small_networks_and_runs_that_keep_no_graphs_compile_for_themselves(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny.config()
    assert ask(replace(config, device=replace(config.device, keep_graphs=False))) is None
    monkeypatch.setattr(module, "MIN_LAYERS", 8)
    assert ask(config) is None
    assert asked == []


def test_without_a_folder_to_keep_them_in_nothing_is_compiled_ahead(
    asked: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert ask(tiny.config()) is None
    assert asked == []


def test_a_process_that_fails_is_done_without_and_asked_again(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as failing, caplog.at_level(logging.INFO):
        failing.setattr(module, "ask_apart", lambda *_, **__: {"error": "the system killed it"})
        assert ask(tiny.config()) is None
    assert "the system killed it" in caplog.messages[-1]
    assert ask(tiny.config()) == 1.5


def test_a_run_on_a_gpu_is_compiled_for_every_size_and_two_numbers_of_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_current", "gpu")
    config = tiny.config(num_instances=10)
    works = every_step(config, [(320, 320), (320, 480)], [(320, 480), (320, 544)])
    assert works == [
        Work(1, 320, 320, (4, 10)),
        Work(1, 320, 480, (4, 10), inference=True, update=False),
        Work(1, 320, 544, (), inference=True, update=False),
    ]
    config.training.batch_size = 2
    batches = [
        (work.height, work.width, work.objects) for work in every_step(config, [(64, 64), (64, 96), (96, 64)], [])
    ]
    # A batch of two clips is as high as the one and as wide as the other.
    assert batches == [(64, 64, (8, 20)), (64, 96, (8, 20)), (96, 64, (8, 20)), (96, 96, (8, 20))]


@pytest.mark.parametrize(("clips", "objects"), [(1, 4), (2, 1), (3, 8)])
def test_the_empty_batch_has_the_objects_it_should(clips: int, objects: int) -> None:
    batch = empty_batch(clips, 2, 32, 64, objects)
    counts = [len(target.labels) for target in batch.targets]
    assert (len(counts), bucket(sum(counts), 10 * clips)) == (clips, objects)
    assert max(counts) - min(counts) <= 1
    assert batch.frames.shape == (clips, 2, 32, 64, 3)


@pytest.mark.parametrize(
    ("dataset", "marked"),
    [
        (Dataset(), False),
        (Dataset(name="coco"), True),
        (Dataset(name="mix", parts={"a": Dataset(name="ovis"), "b": Dataset(name="coco")}), True),
        (Dataset(name="mix", parts={"a": Dataset(name="ovis"), "b": Dataset()}), False),
    ],
)
def test_what_is_compiled_has_targets_of_the_kind_that_clips_of_the_dataset_have(
    dataset: Dataset, marked: bool
) -> None:
    assert marks_outside(Config(dataset=dataset)) == marked
    (target,) = empty_batch(1, 2, 32, 64, 1, marks=marked).targets
    assert (target.outside is not None) == marked


@pytest.mark.slow
def test_a_training_loads_all_that_was_compiled_for_it(tmp_path: Path) -> None:
    before, _, after = run(tmp_path, *TYPED).partition("step 1/")
    assert "compiling for 1 size of clips" in before
    loaded = [line for line in before.splitlines() if "compiled by an earlier run" in line]
    assert len(loaded) == 9
    assert "compiling the" not in before
    assert "compiling the masks" in after  # those of the evaluation
