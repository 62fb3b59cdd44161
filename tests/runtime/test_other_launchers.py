"""Several processes that another launcher started are told what to type."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from vistr.errors import UserError
from vistr.files import ROOT
from vistr.launcher import main, parse
from vistr.runtime.other_launchers import OTHERS, require_launcher
from vistr.runtime.parallel import HUB, KEY

SRUN = {"SLURM_NTASKS": "4", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4"}
MPIRUN = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "1"}
TORCHRUN = {"WORLD_SIZE": "4", "RANK": "1", "LOCAL_RANK": "1"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*OTHERS, "SLURM_NTASKS", HUB, KEY):
        monkeypatch.delenv(variable, raising=False)


def setenv(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)


@pytest.mark.parametrize("variables", [SRUN, MPIRUN, TORCHRUN, {"PMI_SIZE": "4"}, {"SLURM_NTASKS": "4"}])
def test_each_would_be_a_run_of_its_own(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    setenv(monkeypatch, variables)
    with pytest.raises(UserError, match=r"4 processes, .* type scripts/launch 4 python run.py") as error:
        require_launcher()
    assert str(error.value).endswith("mpirun -n 1")
    monkeypatch.setenv(HUB, "127.0.0.1:8119")  # our launcher's
    require_launcher()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SLURM_NTASKS": "1"},
        {"WORLD_SIZE": "1"},
        {"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "1"},  # srun --ntasks=1 within a job of eight
        {"WORLD_SIZE": "many"},
    ],
)
def test_one_process_is_none_of_several(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    setenv(monkeypatch, variables)
    require_launcher()


def test_run_py_says_it_and_makes_no_folder(tmp_path: object) -> None:
    ended = subprocess.run(
        [sys.executable, "run.py", f"outputs={tmp_path}"],
        env=os.environ | SRUN, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert "scripts/launch 4 python run.py" in ended.stderr
    assert os.listdir(str(tmp_path)) == []


def test_the_launcher_is_started_once_a_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    setenv(monkeypatch, {**SRUN, KEY: "0123456789abcdef"})
    assert main(["4", "python", "run.py"]) == 1
    assert "once on each machine, as with srun --ntasks-per-node=1" in capsys.readouterr().err
    assert parse(["--nodes", "4", "--address", "10.0.0.1:8118", "8", "python", "run.py"]).nodes == 4
    # A batch script is no task of srun's.
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS")
    assert parse(["4", "python", "run.py"]).processes == 4
