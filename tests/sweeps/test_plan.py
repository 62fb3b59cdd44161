"""Which folder a sweep belongs to: its own again for the same command, another for another one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vistr.config import overrides as typed
from vistr.config.command import Sources
from vistr.errors import UserError
from vistr.sweeps.kept_configs import keep_sources
from vistr.sweeps.plan import plan


def folder(*overrides: str) -> Path:
    return plan(typed.ready(overrides, sweep=True)).folder


def test_the_folder_says_what_is_swept() -> None:
    assert folder("backbone=r50,r101", "num_frames=18,24").parent == Path("outputs/sweeps")
    assert folder("backbone=r50,r101", "num_frames=18,24").name.startswith("backbone=r50-r101_num_frames=18-24_")


@pytest.mark.parametrize(
    "same",
    [
        ["backbone=r50,r101", "num_frames=18,24", "hydra.sweeper.max_batch_size=1"],
    ],
)
def test_the_way_it_is_carried_out_does_not_matter(same: list[str]) -> None:
    digest = folder("backbone=r50,r101", "num_frames=18,24").name[-6:]
    assert folder(*same).name[-6:] == digest


@pytest.mark.parametrize(
    "other",
    [
        ["backbone=r50,r101", "num_frames=18,30"],
        ["num_frames=18,24", "backbone=r50,r101"],
        ["backbone=r50,r101", "num_frames=18,24", "seed=1"],
        ["backbone=r50,r101", "num_frames=18,24", "optimize=AP50"],
    ],
)
def test_another_command_has_another_folder(other: list[str]) -> None:
    assert folder(*other).name[-6:] != folder("backbone=r50,r101", "num_frames=18,24").name[-6:]


def test_outputs_and_a_folder_of_the_users_own_are_kept() -> None:
    assert folder("num_frames=2,4", "outputs=/tmp/my runs").parent == Path("/tmp/my runs/sweeps")
    assert folder("num_frames=2,4", "hydra.sweep.dir=/tmp/mine") == Path("/tmp/mine")


def test_folders_of_options_named_for_hydra_belong_to_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text("# @package _global_\nseed: 7\n")
    typed_now = [f"hydra.searchpath=[file://{tmp_path},pkg://hydra]", "experiments=mine", "num_frames=2,4"]
    planned = plan(typed.ready(typed_now, sweep=True))
    assert planned.search_path == [tmp_path]
    planned = dataclasses.replace(planned, folder=tmp_path / "sweep")
    kept = keep_sources(Sources(), planned)
    assert kept.main is not None
    assert (kept.main / "experiments" / "mine.yaml").read_text().endswith("seed: 7\n")
    assert (kept.main / "experiments" / "tiny.yaml").is_file()
    assert (kept.main / "dataset" / "augmentation" / "light.yaml").is_file()
    assert keep_sources(Sources(), planned) == kept


@pytest.mark.parametrize("group", ["backbone", "loss", "schedule", "dataset/augmentation", "hydra/sweeper"])
def test_options_of_the_users_own_belong_to_the_sweep_in_every_group(group: str, tmp_path: Path) -> None:
    (tmp_path / "mine" / group).mkdir(parents=True)
    (tmp_path / "mine" / group / "own.yaml").touch()
    planned = dataclasses.replace(plan(["num_frames=2,4"]), folder=tmp_path / "sweep")
    kept = keep_sources(Sources(extra=tmp_path / "mine"), planned).main
    assert kept is not None
    assert (kept / group / "own.yaml").is_file()


def test_jobs_are_named_after_what_an_experiment_sweeps_unless_the_user_fixed_it() -> None:
    swept = plan(["experiments=frames_ablation", "seed=3", "dataset=shapes"]).hydra_overrides[0]
    assert swept.endswith("exclude_keys=[experiments,seed,dataset]")
    fixed = plan(["experiments=frames_ablation", "num_frames=18"]).hydra_overrides[0]
    assert "num_frames" in fixed


@pytest.mark.parametrize("empty", ["seed=range(3,1)", "num_frames=range(0,0)", "dataset.seed=range(1,5,-1)"])
def test_a_sweep_over_nothing_is_refused(empty: str) -> None:
    with pytest.raises(UserError, match="has no values"):
        folder("backbone=r50,r101", empty)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["optimize=mAP"], "optimize=mAP"),
        (["dataset.holdout=0"], "dataset.holdout=0 leaves no video"),
        (["optimize=ema_AP"], "training.ema="),
        (["task=export"], "no such figure"),
    ],
)
def test_a_search_for_a_figure_that_will_not_be_there_is_refused_before_it_starts(typed: list[str], words: str) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    with pytest.raises(UserError, match=words):
        folder("hydra/sweeper=search", "optimizer.learning_rate=interval(1e-4,1e-3)", *typed)
    assert folder("hydra/sweeper=search", "optimizer.learning_rate=interval(1e-4,1e-3)", "optimize=loss")
    listed = ["dataset.holdout=0", "dataset.holdout_ids=ids.txt"]
    assert folder("hydra/sweeper=search", "optimizer.learning_rate=interval(1e-4,1e-3)", *listed)


def test_a_sweep_that_ranks_by_a_misspelt_figure_is_refused_before_it_starts() -> None:
    with pytest.raises(UserError, match="optimize=AP500 is no figure of task=train: did you mean AP50"):
        folder("seed=1,2", "optimize=AP500")
    with pytest.raises(UserError, match=r"optimize=ap is no figure of task=train: did you mean AP\?"):
        folder("seed=1,2", "optimize=ap")
