"""scripts/train.sbatch, with a stand-in for srun that notes what it is to run: SLURM itself is not needed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from vistr.files import ROOT
from vistr.launcher import overrides_of, parse

SCRIPT = ROOT / "scripts/train.sbatch"
SRUN = """#!/usr/bin/env python3
import json, os, sys
print(json.dumps([sys.argv[1:], os.environ.get("VISTR_KEY")]))
"""


@pytest.fixture
def submitted(tmp_path: Path) -> Path:
    """The folder that a job was submitted from."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/srun").write_text(SRUN)
    (tmp_path / "bin/srun").chmod(0o755)
    return tmp_path


def sbatch(submitted: Path, *arguments: str, nodes: int = 1, **variables: str) -> tuple[list[str], str | None]:
    """What srun is given, and the key in its environment."""
    slurm = {
        "SLURM_JOB_ID": "123456",
        "SLURM_JOB_NUM_NODES": str(nodes),
        "SLURM_NTASKS": str(nodes),
        "SLURM_GPUS_ON_NODE": "8",
        "SLURM_SUBMIT_DIR": str(submitted),
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "VISTR_"))}
    environment = clean | slurm | variables | {"PATH": f"{submitted / 'bin'}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", str(SCRIPT), *arguments], env=environment, cwd="/", capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    given, key = json.loads(ran.stdout)
    return given, key


def test_its_options_ask_for_one_launcher_a_machine() -> None:
    text = SCRIPT.read_text()
    options = re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", text, re.M)
    assert dict(options)["ntasks-per-node"] == "1"
    # SLURM reads options up to the first command.
    assert text.index("\nset -") > text.rindex("#SBATCH")
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


def test_one_machine_is_a_launch_without_an_address(submitted: Path) -> None:
    given, key = sbatch(submitted, "experiments=paper_r50", "dataset.root=/data/with a space")
    assert given[:3] == ["--ntasks=1", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    assert given[3] == "scripts/launch"
    options = parse(given[4:])
    assert (options.nodes, options.processes, options.address) == (1, 8, None)
    assert overrides_of(options.command) == [
        "experiments=paper_r50", "dataset.root=/data/with a space", "hydra.run.dir=outputs/train/slurm-123456",
    ]  # fmt: skip
    assert key is None


def test_several_machines_share_an_address_and_a_key_of_the_jobs_own(
    submitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, key = sbatch(submitted, "backbone=r50", nodes=4, VISTR_PROCESSES="2")
    assert given[0] == "--ntasks=4"
    assert key is not None
    assert re.fullmatch("[0-9a-f]{32}", key)
    assert sbatch(submitted, nodes=4)[1] != key
    # As each of the four would take it.
    monkeypatch.setenv("VISTR_KEY", key)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    for node in range(4):
        monkeypatch.setenv("SLURM_NODEID", str(node))
        options = parse(given[4:])
        assert (options.nodes, options.node, options.processes, options.key) == (4, node, 2, key)
        assert re.fullmatch(r"[0-9.]+:26912", options.address)


def test_a_job_that_is_queued_again_goes_on(submitted: Path) -> None:
    again = {"SLURM_RESTART_COUNT": "1"}
    folder = submitted / "outputs/train/slurm-123456"
    folder.mkdir(parents=True)
    assert sbatch(submitted, **again)[0][-1] == "hydra.run.dir=outputs/train/slurm-123456_1"
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/last.safetensors").touch()
    assert sbatch(submitted, "backbone=r50", **again)[0][-2:] == ["run.py", "resume=outputs/train/slurm-123456"]
    assert sbatch(submitted, "resume=outputs/other")[0][-2:] == ["run.py", "resume=outputs/other"]
