"""The command line: folders, logs, sweeps, resuming, and what a user sees when something is wrong."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vistr import cli
from vistr.config import Config
from vistr.config.resuming import stored_settings
from vistr.data.segmentation import encode, to_json
from vistr.errors import UserError
from vistr.files import ROOT
from vistr.runs.run_record import read_record, write_record

Task = Callable[[Config], dict[str, float]]


@pytest.fixture(autouse=True)
def stand_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Runs write below the current folder; Hydra's logging and sys.argv are put back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    for name in ("GLOG_v", "OMP_WAIT_POLICY", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield tmp_path
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Configurations that reached task=train, which a stand-in replaces: it obeys num_frames."""
    configs: list[Config] = []

    def run(config: Config) -> dict[str, float]:
        configs.append(config)
        logging.getLogger("vistr.tasks.train").info("training with %s frames", config.num_frames)
        if config.num_frames == 13:
            raise UserError("num_frames=13 brings bad luck.")
        if config.num_frames == 14:
            raise RuntimeError("a bug")
        if config.num_frames == 15:
            raise KeyboardInterrupt
        checkpoints = Path(str(config.run_dir)) / "checkpoints"
        checkpoints.mkdir(exist_ok=True)
        (checkpoints / "last.safetensors").touch()
        return {"AP": 0.5}

    train = types.ModuleType("vistr.tasks.train")
    train.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vistr.tasks.train", train)
    return configs


def run_folders() -> list[Path]:
    return sorted(folder.parent for folder in Path("outputs").rglob(".hydra"))


def test_a_run_gets_its_own_named_folder_with_config_and_log(
    seen: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["backbone=r101", "num_frames=36", "optimizer.learning_rate=0.0002"]) == 0
    (folder,) = run_folders()
    assert folder.parent == Path("outputs/train")
    assert folder.name.endswith("_shapes_r101_36f_learning_rate=0.0002")
    assert seen[0].run_dir == str(folder.absolute())
    assert seen[0].backbone.name == "r101"
    assert seen[0].overrides == ["backbone=r101", "num_frames=36", "optimizer.learning_rate=0.0002"]
    assert capsys.readouterr().out == "training with 36 frames\n"
    assert (folder / "run.log").read_text().endswith(" INFO training with 36 frames\n")
    assert "learning_rate: 0.0002" in (folder / ".hydra" / "config.yaml").read_text()


def test_a_mistake_leaves_no_folder_behind(seen: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["num_frames=0"]) == 1
    assert capsys.readouterr().err == "num_frames=0 is out of range: it must be at least 1.\n"
    assert not Path("outputs").exists()
    assert seen == []


def test_a_mistake_a_task_finds_is_said_once_and_logged(seen: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["num_frames=13"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "num_frames=13 brings bad luck.\n"
    assert "ERROR num_frames=13 brings bad luck." in (run_folders()[0] / "run.log").read_text()


def test_a_bug_keeps_its_traceback(seen: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["num_frames=14"])
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "RuntimeError: a bug" in error
    assert "RuntimeError: a bug" in (run_folders()[0] / "run.log").read_text()


def test_ctrl_c_is_a_short_line(seen: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["num_frames=15"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


@pytest.mark.parametrize(
    ("frames", "state", "reason"),
    [
        (36, "finished", None),
        (13, "failed", "num_frames=13 brings bad luck."),
        (14, "failed", "RuntimeError: a bug"),
        (15, "interrupted", "stopped by a signal"),
    ],
)
def test_what_became_of_a_run_is_in_its_folder(frames: int, state: str, reason: str | None, seen: list[Config]) -> None:
    with suppress(SystemExit):
        cli.main([f"num_frames={frames}"])
    record = read_record(run_folders()[0])
    assert record is not None
    assert (record.state, record.reason, record.task) == (state, reason, "train")
    assert record.figures == ({"AP": 0.5} if state == "finished" else {})


@pytest.mark.parametrize("mistake", ["backbone=r50,r99", "num_frames=2,abc", "nmu_frames=2,3", "resume=outputs"])
def test_a_sweep_that_cannot_be_composed_starts_no_job(
    mistake: str, seen: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["-m", mistake]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert mistake.partition("=")[0] in error
    assert seen == []


@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_outputs_that_cannot_be_written_are_named(
    sweep: list[str], seen: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("taken").write_text("a file")
    assert cli.main([*sweep, "outputs=taken"]) == 1
    error = capsys.readouterr().err
    assert "outputs=" in error
    assert error.count("\n") == 1


def test_resume_goes_on_in_the_same_folder_with_the_runs_own_overrides(
    seen: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("my data").mkdir()
    cli.main(["backbone=r18", "optimizer.learning_rate=0.0002", "dataset=ovis", "dataset.root=my data"])
    (folder,) = run_folders()
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for more in (["training.epochs=20"], ["optimizer.learning_rate=0.0003"]):
        assert cli.main([f"resume=../{folder}", *more]) == 0
    assert not Path("outputs").exists()
    first, second, third = seen
    assert first.run_dir == second.run_dir == third.run_dir == second.resume
    assert (second.backbone.name, second.optimizer.learning_rate, second.training.epochs) == (
        "r18",
        0.0002,
        20,
    )
    assert (third.optimizer.learning_rate, third.training.epochs) == (0.0003, 20)
    assert second.dataset.root == first.dataset.root  # relative to where the run was started
    assert (Path(str(first.run_dir)) / "run.log").read_text().count("training with") == 3


def test_runs_of_one_second_and_one_name_have_a_folder_each(seen: list[Config]) -> None:
    for place in ("d1", "d2", "d3"):  # paths are left out of names
        assert cli.main([f"dataset.root={place}"]) == 0
    folders = [Path(str(config.run_dir)) for config in seen]
    assert len(set(folders)) == 3
    for folder, config in zip(folders, seen, strict=True):
        settings = stored_settings(folder)
        assert settings["dataset"]["root"] == config.dataset.root
        assert (folder / "run.log").read_text().count("training with") == 1


def test_a_folder_that_holds_a_run_is_refused_and_left_as_it_was(
    seen: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["hydra.run.dir=outputs/exp1", "seed=1"]) == 0
    before = {path: path.read_bytes() for path in Path("outputs/exp1").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert cli.main(["hydra.run.dir=outputs/exp1", "seed=2"]) == 1
    said = "outputs/exp1 holds a run: go on with it by resume=outputs/exp1, or name another folder.\n"
    assert capsys.readouterr().err == said
    assert {path: path.read_bytes() for path in Path("outputs/exp1").rglob("*") if path.is_file()} == before


def test_a_run_that_is_going_on_is_not_gone_on_with(seen: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["hydra.run.dir=exp1"]) == 0
    record = read_record(Path("exp1"))
    assert record is not None
    write_record(Path("exp1"), replace(record, state="running", host="elsewhere", started=time.time()))
    assert cli.main(["resume=exp1"]) == 1
    assert "exp1 holds a run that is going on" in capsys.readouterr().err
    assert len(seen) == 1


def test_a_run_that_saved_nothing_is_started_anew(seen: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["hydra.run.dir=exp1", "num_frames=13"])
    capsys.readouterr()
    assert cli.main(["resume=exp1"]) == 1
    assert capsys.readouterr().err.endswith("start it anew: python run.py num_frames=13\n")


def test_an_edited_study_changes_nothing_of_a_run_that_goes_on(seen: list[Config]) -> None:
    study = Path("conf/experiments/mine.yaml")
    study.parent.mkdir(parents=True)
    study.write_text("# @package _global_\noptimizer:\n  max_steps: 2\n")
    assert cli.main(["experiments=mine", "hydra.run.dir=exp1", "--config-dir=conf"]) == 0
    study.write_text("# @package _global_\noptimizer:\n  max_steps: 4\n  learning_rate: 0.05\n")
    assert cli.main(["resume=exp1", "--config-dir=conf"]) == 0
    study.unlink()
    assert cli.main(["resume=exp1"]) == 0
    assert [(config.training.max_steps, config.optimizer.learning_rate) for config in seen] == [(2, 1e-4)] * 3


def test_a_strangers_run_folder_executes_nothing(seen: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["hydra.run.dir=exp1", "seed=5"])
    evil = "+hydra.callbacks.evil={_target_: os.mkdir, path: PWNED}"
    for name in ("settings.yaml", ".hydra/overrides.yaml"):
        content = f"- '{evil}'\n" if name.startswith(".") else f"overrides: ['seed=5', '{evil}']\nseed: 5\n"
        (Path("exp1") / name).write_text(content)
        assert cli.main(["resume=exp1"]) == 0
        assert not Path("PWNED").exists()
    assert "left out of what its folder says was typed: +hydra.callbacks.evil" in capsys.readouterr().out
    assert seen[-1].seed == 5


def test_paths_are_relative_to_the_user_with_a_changed_folder_too(
    seen: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Path.cwd()
    assert cli.main(["hydra.job.chdir=true", "dataset.root=here"]) == 0
    assert seen[0].dataset.root == str(here / "here")
    assert Path(str(seen[0].run_dir)).parent == here / "outputs" / "train"


def test_environment_of_the_user_is_left_alone(seen: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_v", "0")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    cli.main([])
    assert os.environ["GLOG_v"] == "0"  # noqa: SIM112 (glog spells it so)
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_scoring_runs_as_typed(capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 2:4] = 1
    square = to_json(encode(mask))
    truth = {
        "videos": [{"id": 1, "height": 8, "width": 8, "length": 1, "file_names": ["a/0.jpg"]}],
        "categories": [{"id": 1, "name": "square"}],
        "annotations": [
            {"id": 1, "video_id": 1, "category_id": 1, "segmentations": [square], "bboxes": [[2, 2, 2, 4]],
             "areas": [8], "iscrowd": 0, "height": 8, "width": 8, "length": 1}
        ],
    }  # fmt: skip
    result = {"video_id": 1, "category_id": 1, "score": 0.9, "segmentations": [square]}
    Path("truth.json").write_text(json.dumps(truth))
    Path("my results.json").write_text(json.dumps([result]))
    assert cli.main(["task=score", "annotations=truth.json", "results=my results.json"]) == 0
    (folder,) = run_folders()
    assert folder.parent == Path("outputs/score")
    assert folder.name.endswith("_my-results")
    assert (folder / "metrics.json").is_file()
    assert "AP50" in capsys.readouterr().out


def test_viewing_runs_as_typed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("frames/a").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save("frames/a/0.jpg")
    square = to_json(encode(np.ones((8, 8), np.uint8)))
    truth = {
        "videos": [{"id": 1, "height": 8, "width": 8, "length": 1, "file_names": ["a/0.jpg"]}],
        "categories": [{"id": 1, "name": "square"}],
        "annotations": [{"id": 1, "video_id": 1, "category_id": 1, "segmentations": [square]}],
    }
    result = {"video_id": 1, "category_id": 1, "score": 0.9, "segmentations": [square]}
    Path("truth.json").write_text(json.dumps(truth))
    Path("results.json").write_text(json.dumps([result]))
    typed = ["task=view", "annotations=truth.json", "results=results.json"]
    assert cli.main([*typed, "dataset.images=frames"]) == 0
    (folder,) = run_folders()
    assert folder.parent == Path("outputs/view")
    assert (folder / "index.html").is_file()
    assert f"Open in a browser: {folder}/index.html" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(typed)  # the frames are not beside truth.json
    assert "set dataset.images=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("num_frames=abc", "num_frames=abc has the wrong type: num_frames must be a whole number.\n"),
        (
            "backbone=r99",
            "backbone=r99 is not one of its options: r10, r101, r18, r34, r50, swin_b, swin_l, swin_s, swin_t.\n",
        ),
    ],
)
def test_run_py_says_one_sentence_and_ends_with_status_1(typed: str, sentence: str) -> None:
    shown = subprocess.run([sys.executable, str(ROOT / "run.py"), typed], capture_output=True, text=True)
    assert (shown.returncode, shown.stdout, shown.stderr) == (1, "", sentence)


def test_run_py_composes_as_typed_from_any_folder() -> None:
    command = [sys.executable, str(ROOT / "run.py"), "--cfg", "job", "backbone=r101", "num_frames=36"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "num_frames: 36" in shown.stdout
    assert "name: r101" in shown.stdout


def test_help_is_a_page_that_names_every_task(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    page = capsys.readouterr().out
    tasks = sorted(path.stem for path in (ROOT / "conf" / "task").glob("*.yaml"))
    assert all(f"\n  {task} " in page for task in tasks)
    assert "num_frames:" not in page, "the whole configuration stays with --cfg job"
