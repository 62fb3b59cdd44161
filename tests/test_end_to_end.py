"""The real entrypoint as a user types it: train, evaluate and resume, at the smallest size that goes all the way."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.processes import SMALL, run

pytestmark = pytest.mark.slow

TYPED = (
    *SMALL,
    "dataset.holdout=0.25",
    "training.batch_size=3",
    "training.epochs=1",
    "schedule.drop_epoch=1",
    "task.evaluate_every=1",
    "task.log_every=1",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Where a user stands, the folder of the run he made there, and what it printed."""
    folder = tmp_path_factory.mktemp("user")
    printed = run(folder, *TYPED)
    (run_folder,) = (folder / "outputs" / "train").iterdir()
    return folder, run_folder, printed


def test_training_leaves_everything_in_the_run_folder(trained: tuple[Path, Path, str]) -> None:
    _, run_folder, printed = trained
    for name in (
        ".hydra/config.yaml",
        "run.log",
        "metrics.json",
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
        "results/results.json",
    ):
        assert (run_folder / name).is_file(), name
    rows = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2, 3]
    assert rows[-1]["kind"] == "eval"
    assert set(rows[-1]) >= {"AP", "AP50", "AP75", "AR1", "AR10"}
    with zipfile.ZipFile(run_folder / "results" / "results.zip") as archive:
        assert archive.namelist() == ["results.json"]
    assert list((run_folder / "results").glob("video_*.png"))
    assert "tensorboard --logdir outputs" in printed


def test_a_checkpoint_evaluates_to_the_figures_of_its_training_without_further_keys(
    trained: tuple[Path, Path, str],
) -> None:
    folder, run_folder, _ = trained
    run(folder, "task=evaluate", f"checkpoint={run_folder.relative_to(folder)}")
    (evaluated,) = (folder / "outputs" / "evaluate").iterdir()
    figures = [json.loads((f / "metrics.json").read_text())["figures"] for f in (run_folder, evaluated)]
    assert figures[0] == figures[1]
    assert (evaluated / "results" / "results.json").read_bytes() == (
        run_folder / "results" / "results.json"
    ).read_bytes()


def test_a_run_goes_on_for_more_epochs_in_its_own_folder(trained: tuple[Path, Path, str]) -> None:
    folder, run_folder, _ = trained
    run(folder, f"resume={run_folder.relative_to(folder)}", "training.epochs=2", "schedule.drop_epoch=2")
    rows = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [row["epoch"] for row in rows if row["kind"] == "eval"] == [1, 2]
