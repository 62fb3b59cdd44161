"""The command line: flags anywhere among the overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from vistr.config.command import Sources, parse
from vistr.errors import UserError


@pytest.mark.parametrize(
    "typed",
    [
        ["-m", "experiments=tiny", "seed=1,2"],
        ["experiments=tiny", "-m", "seed=1,2"],
        ["experiments=tiny", "seed=1,2", "--multirun"],
        ["experiments=tiny", "hydra.mode=MULTIRUN", "seed=1,2"],
    ],
)
def test_flags_stand_anywhere(typed: list[str]) -> None:
    command = parse(typed)
    assert command.sweep
    assert command.overrides == ["experiments=tiny", "seed=1,2"]
    assert command.showing == []


def test_configurations_of_ones_own_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    command = parse(["seed=1", "--config-dir", "conf", "experiments=mine", "-cn", "other"])
    assert command.sources == Sources(extra=tmp_path / "conf", name="other")
    assert command.sources.flags() == [f"--config-dir={tmp_path / 'conf'}", "--config-name=other"]
    assert command.overrides == ["seed=1", "experiments=mine"]


def test_what_hydra_prints_is_passed_on() -> None:
    assert parse(["seed=1", "--cfg", "job", "-p", "dataset", "--resolve"]).showing == [
        "--cfg=job",
        "--resolve",
        "--package=dataset",
    ]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--foo", "seed=1"], "--foo"),
        (["--cfg", "everything"], "everything"),
        (["-m", "--cfg", "job"], "leave one of them out"),
        (["--config-dir=nowhere"], "no such folder"),
        (["--config-dir", "x" * 5000], "no such folder"),
        (["--multirun=yes"], "multirun"),
        (["--experimental-rerun", "x.pickle"], "resume="),
    ],
)
def test_a_flag_that_cannot_be_is_one_sentence(typed: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse(typed)
