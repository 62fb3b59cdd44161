"""`resume=`: the settings a run was started with, and what is typed beside them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from vistr.config.compose import load_config, to_dict
from vistr.config.resuming import SETTINGS, difference, require_checkpoint, stored_settings, write_settings
from vistr.data.shapes import write_shapes
from vistr.errors import UserError

SMALL = ("backbone=r18", "transformer=small", "optimizer.learning_rate=0.0002")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was started with SMALL."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    write_settings(folder, to_dict(load_config(SMALL)))
    return folder


def older(folder: Path, config: dict[str, Any], *typed: str) -> Path:
    """A run's folder from before there was a file of settings."""
    hydra = folder / ".hydra"
    hydra.mkdir(parents=True)
    (hydra / "config.yaml").write_text(yaml.safe_dump(config))
    (hydra / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"cwd": str(folder.parent)}}}))
    (hydra / "overrides.yaml").write_text(yaml.safe_dump(list(typed)))
    return folder


def test_a_run_goes_on_with_what_it_was_started_with_and_what_is_typed_now(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        same = load_config([f"resume={run}"])
    assert caplog.text == ""
    assert (same.backbone.name, same.optimizer.learning_rate, same.resume) == ("r18", 0.0002, str(run))
    with caplog.at_level(logging.INFO):
        config = load_config([f"resume={run}", "training.epochs=30", "optimizer.learning_rate=0.0002"])
    assert (config.training.epochs, config.optimizer.learning_rate) == (30, 0.0002)
    assert caplog.messages == ["laid over the settings that the run was started with: training.epochs=30 (was 18)"]
    assert config.overrides == [*SMALL[:2], f"resume={run}", "training.epochs=30", "optimizer.learning_rate=0.0002"]


def test_an_option_typed_beside_resume_brings_its_whole_section(run: Path) -> None:
    (run.parent / "frames").mkdir()
    config = load_config([f"resume={run}", "dataset=ovis", "dataset.root=frames", "dataset/augmentation=none"])
    assert (config.dataset.name, config.dataset.augmentation.flip) == ("ovis", 0.0)
    # It follows the clip size of the run's backbone.
    assert (config.dataset.short_side, config.dataset.long_side) == (300, 540)


def test_the_runs_own_study_may_be_repeated_and_another_is_refused(run: Path) -> None:
    settings = to_dict(load_config(["experiments=tiny"]))
    settings["overrides"] = ["experiments=mine", "seed=3"]  # a study that is not there any more
    write_settings(run, settings)
    config = load_config([f"resume={run}", "experiments=mine"])
    assert config.overrides == ["experiments=mine", "seed=3", f"resume={run}"]
    assert config.dataset.video_length == settings["dataset"]["video_length"]
    with pytest.raises(UserError, match="experiments=tiny sets up a run from scratch"):
        load_config([f"resume={run}", "experiments=tiny"])


@pytest.mark.parametrize("typed", ["transformer.hidden_dim=192", "backbone=r50", "num_frames=2", "sequence_head=dense"])
def test_another_network_beside_resume_is_refused_by_the_setting(typed: str, run: Path) -> None:
    with pytest.raises(UserError, match=r"contradicts the run") as caught:
        load_config([f"resume={run}", typed])
    assert typed.partition("=")[0].partition(".")[0] in str(caught.value)


def test_the_weights_a_run_began_with_are_not_loaded_again(tmp_path: Path) -> None:
    (tmp_path / "detr.pth").touch()
    folder = older(tmp_path / "run", {"init": "detr.pth", "num_frames": 7}, "init=detr.pth", "num_frames=7")
    config = load_config([f"resume={folder}"])
    assert (config.num_frames, config.init, config.overrides) == (7, None, ["num_frames=7", f"resume={folder}"])


def test_an_older_runs_references_and_paths_are_those_of_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    dataset = {"name": "ovis", "root": "data", "seed": "${seed}", "short_side": "${.height}", "height": 64}
    folder = older(tmp_path / "run", {"seed": 9, "dataset": dataset})
    monkeypatch.chdir("/")
    config = load_config([f"resume={folder}"])
    assert (config.dataset.seed, config.dataset.short_side, config.dataset.root) == (9, 64, str(tmp_path / "data"))


def test_nothing_a_folder_names_is_executed_or_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    evil = "+hydra.callbacks.evil={_target_: os.mkdir, path: PWNED}"
    folder = older(tmp_path / "run", {"seed": 5}, "seed=5", evil, "hydra.searchpath=[/x]", "+a.b=1")
    with caplog.at_level(logging.INFO):
        config = load_config([f"resume={folder}"])
    assert config.overrides == ["seed=5", f"resume={folder}"]
    assert "hydra.callbacks.evil" in caplog.text
    monkeypatch.setenv("USER_SECRET", "hunter2")
    for value in ("${oc.env:USER_SECRET}", "a${oc.env:USER_SECRET,none}"):
        stranger = older(tmp_path / f"stranger{len(value)}", {"outputs": value, "seed": 1})
        with pytest.raises(UserError, match="refers to") as caught:
            load_config([f"resume={stranger}"])
        assert "hunter2" not in str(caught.value)


def test_generated_videos_are_read_where_a_folder_says_and_written_only_where_the_user_says(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = run.parent / "theirs"
    settings = to_dict(load_config(SMALL))
    settings["dataset"] |= {"root": str(theirs), "num_videos": 1, "video_length": 1, "height": 32, "width": 32}
    settings["dataset"] |= {"max_objects": 1, "seed": 0}
    write_settings(run, settings)
    with caplog.at_level(logging.INFO):
        assert load_config([f"resume={run}"]).dataset.root == str(run.parent / "outputs" / "data" / "shapes")
    assert "dataset.root=" in caplog.text
    write_shapes(theirs, num_videos=1, num_frames=1, height=32, width=32, max_objects=1, seed=0)
    assert load_config([f"resume={run}"]).dataset.root == str(theirs)
    other = str(run.parent / "other")
    assert load_config([f"resume={run}", f"dataset.root={other}"]).dataset.root == other


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "x", "seed: abc", "nothing: 1", "seed: ${oc.env:HOME}", "a: &a [*a]", "backbone: r18", "\\xff"],
)
def test_a_damaged_file_of_settings_is_one_sentence(content: str, run: Path) -> None:
    (run / SETTINGS).write_text(content)
    with pytest.raises(UserError, match="run"):
        load_config([f"resume={run}"])


def test_settings_come_back_as_they_were_written(run: Path) -> None:
    config = load_config(["dataset.augmentation.resize_short=[96,128]", "dataset.augmentation.crop_resize_short=[]"])
    write_settings(run, to_dict(config))
    stored = stored_settings(run)
    assert {key: to_dict(config)[key] for key in stored} == stored
    assert difference(run, to_dict(config)) is None
    config.optimizer.learning_rate = 0.5
    assert difference(run, to_dict(config)) == "optimizer.learning_rate=0.0001, not 0.5"


def test_a_run_that_saved_nothing_is_told_how_to_start_anew(run: Path) -> None:
    with pytest.raises(UserError, match=r"before it had saved anything; start it anew: python run\.py seed=3$"):
        require_checkpoint(run, ["seed=3", f"resume={run}"])
    epoch = run / "checkpoints" / "epoch_001.safetensors"
    epoch.parent.mkdir()
    epoch.touch()
    with pytest.raises(UserError, match=r"resume=.*epoch_001"):
        require_checkpoint(run, [])
    require_checkpoint(epoch, [])
    assert load_config([f"resume={epoch}"]).backbone.name == "r18"
