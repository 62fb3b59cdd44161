"""The benchmark task: one report with everything, a sweep that survives its failures, and its keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from tests import tiny
from vistr import load_config
from vistr.benchmark import network_costs
from vistr.benchmark.measure import STEP_PARTS, matmul_rates
from vistr.config import Config
from vistr.data.clips import Batch
from vistr.errors import UserError
from vistr.models.build import build_model
from vistr.models.vistr import VisTR
from vistr.tasks import benchmark
from vistr.tasks.settings import Benchmark
from vistr.training.step import StepResult

BIG = (64, 96)


class StandInStep:
    """A training step of a few parameters, whose parts take no time to speak of."""

    def __init__(self, model: VisTR) -> None:
        self.parameters = list(model.trainable_params())[:2]

    def __call__(self, batch: Batch, noise: np.ndarray | None) -> StepResult:
        gradients = tuple(Tensor(np.ones(p.shape, np.float32)) for p in self.parameters)
        return StepResult({"loss": 1.0}, gradients, [], {"forward": 1e-5, "match": 1e-6, "backward": 1e-5})


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A tiny network that need not be compiled, measured in this process; the sweep's largest point is "killed"."""

    def apart(config: Config, part: network_costs.Part, limit_minutes: float | None = None) -> dict[str, Any]:
        if network_costs.frame_size(config) == BIG:
            return {"error": "the system killed it"}
        return network_costs.measure(config, tmp_path / "videos", part)

    monkeypatch.setattr(benchmark, "measure_apart", apart)
    monkeypatch.setattr(network_costs, "build_model", lambda *arguments: tiny.eager(build_model(*arguments)))
    monkeypatch.setattr(network_costs, "TrainingStep", lambda model, loss: StandInStep(model))
    monkeypatch.setattr(network_costs.measuring, "matmul_rates", lambda: matmul_rates(size=64, repeats=1))
    task = Benchmark(height=32, width=64, repeats=1, sweep_frames=[1, 2], sweep_heights=[32, 64])
    monkeypatch.chdir(tmp_path)
    return tiny.config(
        name="r10",
        num_instances=2,
        task=task,
        run_dir=str(tmp_path / "run"),
        overrides=["num_frames=2", "outputs=/somewhere"],
    )


@pytest.mark.slow
def test_a_report_holds_every_figure_and_a_failed_point_of_the_sweep(config: Config) -> None:
    config.task.sweep_heights = [32, BIG[0]]
    config.task.width = 48
    figures = benchmark.run(config)
    folder = Path(str(config.run_dir))
    report = json.loads((folder / "benchmark.json").read_text())
    assert report["overrides"] == ["num_frames=2"]
    assert (report["num_frames"], report["height"], report["padded_width"]) == (2, 32, 64)
    for protocol in ("network", "pipeline"):
        timing = report[protocol]
        assert timing["min_seconds"] <= timing["median_seconds"] <= timing["max_seconds"]
        assert timing["per_second"] == pytest.approx(2 / timing["median_seconds"])
    training = report["training"]
    assert list(training["parts"]) == list(STEP_PARTS)
    assert sum(training["parts"].values()) == pytest.approx(training["step"]["median_seconds"])
    assert training["num_objects"] >= 1
    assert report["memory_gb"]["training"] >= report["memory_gb"]["network"] > 0
    rate = report["gflop"]["total"] / report["network"]["median_seconds"]
    assert report["attained"]["gflop_per_second"] == pytest.approx(rate)
    matmul = report["matmul_gflop_per_second"]
    assert report["attained"]["share_of_matmul"]["numpy"] == pytest.approx(rate / matmul["numpy"])
    assert figures["frames_per_second"] == report["network"]["per_second"]
    points = [(p["num_frames"], p["height"], p["width"], p.get("error")) for p in report["sweep"]]
    failed = "the system killed it"
    assert points == [(1, 32, 48, None), (2, 32, 48, None), (1, 64, 96, failed), (2, 64, 96, failed)]
    assert report["sweep"][1]["network"] == report["network"]
    written = (folder / "benchmark.md").read_text()
    assert "| 2 | 64x96 | not measured: the system killed it |" in written
    assert "GFLOP/s" in written
    assert "/somewhere" not in written
    assert Image.open(folder / "benchmark.png").width > 800


def test_without_training_and_sweep_neither_is_measured(config: Config) -> None:
    config.task.training = config.task.sweep = False
    figures = benchmark.run(config)
    report = json.loads((Path(str(config.run_dir)) / "benchmark.json").read_text())
    assert report["training"] is None
    assert report["sweep"] == []
    assert "training_memory_gb" not in figures


def test_the_configured_point_must_be_measured(config: Config) -> None:
    config.task.height, config.task.width = BIG
    with pytest.raises(UserError, match=r"killed it.*task\.training=false"):
        benchmark.run(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "key"), [({"num_instances": 0}, "traceback"), ({"task": Benchmark(checkpoint="gone")}, "mistake")]
)
def test_a_process_that_fails_says_why(change: dict[str, Any], key: str) -> None:
    config = replace(load_config(["task=benchmark", "backbone=r10", "transformer=small", "num_frames=1"]), **change)
    answer = benchmark.measure_apart(config, "network", limit_minutes=2)
    assert answer["error"]
    assert key in answer


def test_a_point_of_the_sweep_drops_what_belongs_to_the_configured_one() -> None:
    config = Config(num_frames=6, task=Benchmark(repeats=9, checkpoint="some"))
    other = benchmark.at_point(config, 2, 64, 96)
    assert (other.num_frames, network_costs.frame_size(other), other.task.checkpoint) == (2, (64, 96), None)
    assert other.task.repeats == benchmark.SWEEP_REPEATS


def test_the_size_is_the_datasets_unless_given() -> None:
    assert network_costs.frame_size(load_config(["task=benchmark"])) == (96, 160)
    assert network_costs.frame_size(load_config(["task=benchmark", "dataset=ytvis2019"])) == (300, 540)
    assert network_costs.frame_size(load_config(["task=benchmark", "task.height=64", "task.width=128"])) == (64, 128)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["task.height=64"], "task.height= alone"),
        (["task.height=16", "task.width=64"], "at least 32"),
        (["task.repeats=0"], "task.repeats=0"),
        (["task.sweep_frames=[0]"], "task.sweep_frames"),
        (["task.limit_minutes=0"], "above 0"),
        (["resume=outputs"], "resume="),
        (["init=some.safetensors"], "init= belongs to task=train"),
        (["checkpoint=nowhere"], "nowhere does not exist"),
    ],
)
def test_a_mistake_is_one_sentence(typed: list[str], said: str) -> None:
    with pytest.raises(UserError) as raised:
        load_config(["task=benchmark", *typed])
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
