"""`-m` as a user types it: folders, failures, what a second start does, launchers, a search. Training is a stand-in."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vistr.config.resuming import stored_settings
from vistr.files import ROOT
from vistr.runs.run_record import RunRecord, read_record

pytestmark = pytest.mark.slow

STAND_IN = Path(__file__).parent / "stand_in"


def sweep(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python run.py -m <arguments>` in `folder`."""
    command = [sys.executable, str(ROOT / "run.py"), "-m", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(STAND_IN)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, preexec_fn=_heed_ctrl_c
    )


def _heed_ctrl_c() -> None:
    # Whoever runs the tests may ignore it, as a shell does for what it runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def sweep_folder(folder: Path) -> Path:
    (found,) = (folder / "outputs" / "sweeps").iterdir()
    return found


def job_names(folder: Path) -> list[str]:
    return sorted(path.name for path in sweep_folder(folder).iterdir() if (path / ".hydra").is_dir())


def record(folder: Path, job: str) -> RunRecord:
    found = read_record(sweep_folder(folder) / job)
    assert found is not None
    return found


def steps(folder: Path, job: str) -> list[int]:
    rows = (sweep_folder(folder) / job / "metrics.jsonl").read_text().splitlines()
    return [row["step"] for row in map(json.loads, rows) if row["kind"] == "train"]


def test_every_combination_runs_once_in_a_folder_named_after_what_differs(tmp_path: Path) -> None:
    first = sweep(tmp_path, "backbone=r50,r101", "num_frames=2,4", "seed=3")
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    names = ["0_backbone=r50_num_frames=2", "1_backbone=r50_num_frames=4"]
    names += ["2_backbone=r101_num_frames=2", "3_backbone=r101_num_frames=4"]
    assert job_names(tmp_path) == names
    summary = list(csv.DictReader((sweep_folder(tmp_path) / "summary.csv").open()))
    assert [row["num_frames"] for row in summary] == ["4", "4", "2", "2"]
    assert {row["backbone"] for row in summary} == {"r50", "r101"}
    assert [float(row["AP"]) for row in summary] == pytest.approx([0.14, 0.14, 0.12, 0.12])
    assert "seed" not in summary[0]
    for name in ("summary.md", "summary.html", "summary_settings.png", "summary_curves.png"):
        assert (sweep_folder(tmp_path) / name).stat().st_size > 100
    # The same command finds its jobs done.
    again = sweep(tmp_path, "backbone=r50,r101", "num_frames=2,4", "seed=3")
    assert again.returncode == 0
    assert again.stdout.count("finished before") == 4
    assert "from step" not in again.stdout


def test_a_job_that_cannot_work_is_recorded_and_the_others_run(tmp_path: Path) -> None:
    ended = sweep(tmp_path, "num_frames=0,13,14,15,2")
    assert ended.returncode == 1
    reasons = {name: (record(tmp_path, name).state, record(tmp_path, name).reason) for name in job_names(tmp_path)}
    assert reasons == {
        "0_num_frames=0": ("failed", "num_frames=0 is out of range: it must be at least 1."),
        "1_num_frames=13": ("failed", "num_frames=13 brings bad luck."),
        "2_num_frames=14": ("failed", "RuntimeError: a bug"),
        "3_num_frames=15": ("failed", "killed by the system, most likely because the memory ran out"),
        "4_num_frames=2": ("finished", None),
    }
    for sentence in ("num_frames=0 is out of range", "num_frames=13 brings bad luck", "RuntimeError: a bug"):
        assert ended.stderr.count(sentence) == 1
        assert sentence in ended.stdout  # among the jobs not finished
    assert "num_frames=13 brings" in (sweep_folder(tmp_path) / "1_num_frames=13" / "run.log").read_text()
    # The killed job had a checkpoint: the second start goes on from it.
    again = sweep(tmp_path, "num_frames=0,13,14,15,2")
    assert "num_frames=15 from step 2" in again.stdout
    assert "num_frames=2 from" not in again.stdout
    assert record(tmp_path, "3_num_frames=15").state == "finished"
    assert steps(tmp_path, "3_num_frames=15") == [1, 2, 3, 4]


def test_jobs_are_composed_from_what_their_study_said_when_the_sweep_started(tmp_path: Path) -> None:
    study = tmp_path / "conf" / "experiments" / "mine.yaml"
    study.parent.mkdir(parents=True)
    study.write_text("# @package _global_\nloss:\n  dice_weight: 1.0\n")
    # The first job edits its own study: see the stand-in.
    ended = sweep(tmp_path, "experiments=mine", "--config-dir=conf", "num_frames=19,4")
    assert ended.returncode == 0, ended.stderr
    assert "dice_weight: 5.0" in study.read_text()
    for name in job_names(tmp_path):
        assert stored_settings(sweep_folder(tmp_path) / name)["loss"]["dice_weight"] == 1.0
    assert job_names(tmp_path) == ["0_num_frames=19", "1_num_frames=4"]


def test_a_folder_named_by_hand_that_holds_other_jobs_is_refused(tmp_path: Path) -> None:
    assert sweep(tmp_path, "hydra.sweep.dir=mine", "hydra.sweep.subdir=${hydra.job.num}", "seed=1,2").returncode == 0
    other = sweep(tmp_path, "hydra.sweep.dir=mine", "hydra.sweep.subdir=${hydra.job.num}", "seed=3,4")
    assert other.returncode == 1
    assert "mine/0 holds another run than this job (typed: seed=1): name another folder" in other.stderr
    assert stored_settings(tmp_path / "mine" / "0")["seed"] == 1


def test_jobs_that_all_fail_end_the_sweep_with_status_1(tmp_path: Path) -> None:
    ended = sweep(tmp_path, "num_frames=13,14")
    assert ended.returncode == 1
    assert "2 of 2 jobs did not finish" in ended.stdout


def test_a_cluster_launcher_off_its_cluster_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    ended = sweep(tmp_path, "hydra/launcher=slurm", "seed=7,8")
    assert ended.returncode == 1
    assert ended.stderr.startswith("There is no srun here")
    assert ended.stderr.count("\n") == 1


def test_a_killed_sweep_stops_its_job_and_goes_on_when_started_again(tmp_path: Path) -> None:
    killed = sweep(tmp_path, "num_frames=2,16,4")
    assert killed.returncode == -9
    until = time.monotonic() + 300  # the job outlives the sweep by a moment: it is told to stop, and says so
    while record(tmp_path, "1_num_frames=16").state == "running" and time.monotonic() < until:
        time.sleep(0.1)
    assert record(tmp_path, "1_num_frames=16").state == "interrupted"
    assert job_names(tmp_path) == ["0_num_frames=2", "1_num_frames=16"]
    again = sweep(tmp_path, "num_frames=2,16,4")
    assert again.returncode == 0, again.stderr
    assert [line for line in again.stdout.splitlines() if "from step" in line] == [
        "num_frames=16 from step 2",
        "num_frames=4 from step 0",
    ]
    assert steps(tmp_path, "1_num_frames=16") == [1, 2, 3, 4]


def test_one_job_told_to_stop_leaves_the_sweep_going(tmp_path: Path) -> None:
    ended = sweep(tmp_path, "num_frames=17,2")
    assert ended.returncode == 1
    assert "0_num_frames=17: interrupted, at step 2" in ended.stdout
    assert [record(tmp_path, name).state for name in job_names(tmp_path)] == ["interrupted", "finished"]


def test_ctrl_c_stops_the_job_and_the_sweep_with_a_table_of_what_is_there(tmp_path: Path) -> None:
    ended = sweep(tmp_path, "num_frames=2,18,4")
    assert ended.returncode == 130
    assert "The sweep was stopped; the same command goes on with it." in ended.stdout
    assert [record(tmp_path, name).state for name in job_names(tmp_path)] == ["finished", "interrupted"]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("launcher", "plugin"), [("parallel", "hydra_joblib_launcher"), ("slurm_local", "hydra_submitit_launcher")]
)
def test_launchers_work_as_written(launcher: str, plugin: str, tmp_path: Path) -> None:
    pytest.importorskip(f"hydra_plugins.{plugin}")
    ended = sweep(tmp_path, f"hydra/launcher={launcher}", "num_frames=2,13,4")
    assert ended.returncode == 1
    assert job_names(tmp_path) == ["0_num_frames=2", "1_num_frames=13", "2_num_frames=4"]
    assert [record(tmp_path, name).state for name in job_names(tmp_path)] == ["finished", "failed", "finished"]
    assert "num_frames=13 brings bad luck." in ended.stdout
    # Another launcher goes on with the same sweep.
    assert sweep(tmp_path, "num_frames=2,13,4").stdout.count("finished before") == 2


def test_a_search_goes_after_the_figure_and_takes_up_its_finished_trials(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    typed = ["hydra/sweeper=search", "loss.dice_weight=interval(0.5,5)", "num_frames=2"]
    ended = sweep(tmp_path, *typed, "hydra.sweeper.n_trials=3")
    assert ended.returncode == 0, ended.stderr
    values = {float(name.partition("=")[2]): record(tmp_path, name).figures["AP"] for name in job_names(tmp_path)}
    assert len(values) == 3
    best = max(values, key=lambda weight: values[weight])
    assert f"Best parameters: {{'loss.dice_weight': {best}}}" in ended.stdout
    more = sweep(tmp_path, *typed, "hydra.sweeper.n_trials=4")
    assert more.stdout.count("finished before") == 3
    assert len(job_names(tmp_path)) == 4
    worst = min(values, key=lambda weight: values[weight])
    other = sweep(tmp_path, *typed, "hydra.sweeper.n_trials=3", "direction=minimize")
    assert f"Best parameters: {{'loss.dice_weight': {worst}}}" in other.stdout
