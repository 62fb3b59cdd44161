"""What a run tells TensorBoard of itself."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from vistr.config import Config
from vistr.tasks.reporting import defined, say_where_things_are, typed_values


def test_typed_numbers_are_numbers_and_where_a_run_lies_is_left_out() -> None:
    typed = [
        "backbone=r50",
        "optimizer.learning_rate=1e-4",
        "num_frames=18",
        "+backbone.dilation=true",
        "schedule.drop_epoch=null",
        "dataset/augmentation=none",
        "init='my weights.safetensors'",
        "outputs=/tmp/x",
        "resume=/tmp/y",
    ]
    assert typed_values(typed) == {
        "backbone": "r50",
        "optimizer.learning_rate": 1e-4,
        "num_frames": 18,
        "backbone.dilation": True,
        "schedule.drop_epoch": "null",
        "dataset.augmentation": "none",
        "init": "my weights.safetensors",
    }


def test_undefined_figures_are_no_points_of_a_curve() -> None:
    assert defined({"AP": 0.0, "APl": -1.0}) == {"AP": 0.0}


def test_pictures_are_promised_where_there_are_any(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "results").mkdir()
    with caplog.at_level(logging.INFO):
        say_where_things_are(Config(), tmp_path, {})  # as with task.num_pictures=0
        assert "truth above" not in caplog.text
        (tmp_path / "results" / "video_1.png").touch()
        say_where_things_are(Config(), tmp_path, {})
        assert "pictures, truth above what was found" in caplog.text
