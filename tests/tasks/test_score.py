"""The score task: a table on the screen, metrics.json in the run folder."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from vistr.config import Config
from vistr.errors import UserError
from vistr.tasks.score import run
from vistr.tasks.settings import Score


@pytest.fixture
def config(tmp_path: Path) -> Config:
    archive = Path(__file__).parents[1] / "data/ytvis_eval/cases.json.gz"
    case = json.loads(gzip.decompress(archive.read_bytes()))["probes/area_exactly_128sq"]
    (tmp_path / "gt.json").write_text(json.dumps(case["gt"]))
    (tmp_path / "results.json").write_text(json.dumps(case["results"]))
    task = Score(annotations=str(tmp_path / "gt.json"), results=str(tmp_path / "results.json"))
    return Config(task=task, run_dir=str(tmp_path / "run"))


def test_score_prints_the_table_and_writes_metrics(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run(config)
    assert figures["APs"] > 0.99
    assert figures["APm"] > 0.99
    assert figures["APl"] == -1
    assert "AP50" in capsys.readouterr().out
    written = json.loads((Path(config.run_dir) / "metrics.json").read_text())
    assert written["figures"] == figures
    assert written["warnings"] == []


def test_a_run_folder_that_cannot_be_written_is_named(config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config.run_dir = str(tmp_path / "file" / "run")
    with pytest.raises(UserError, match=r"metrics\.json cannot be written"):
        run(config)
