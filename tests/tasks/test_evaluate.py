"""What a training and an evaluation say of their figures."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from vistr.config import Config
from vistr.tasks.evaluate import defined
from vistr.tasks.train import say_where_things_are


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
