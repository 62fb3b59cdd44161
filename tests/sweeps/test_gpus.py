"""Jobs at once on several GPUs: each has one of its own."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from vistr.config import Config
from vistr.runtime import gpu_runtime
from vistr.sweeps import jobs
from vistr.sweeps.gpus import VISIBLE, own_gpu, visible_gpus

JOB = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"


@pytest.fixture(autouse=True)
def _three_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(gpu_runtime, "num_gpus", lambda: 3)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))


def test_jobs_at_once_have_different_gpus_and_give_them_back() -> None:
    with ExitStack() as stack:
        taken = [stack.enter_context(own_gpu())[VISIBLE] for _ in range(3)]
        assert sorted(taken) == ["0", "1", "2"]
        # A fourth shares one.
        assert stack.enter_context(own_gpu())[VISIBLE] in taken
    with own_gpu() as environment:
        assert environment == {VISIBLE: "0"}


def test_only_what_the_user_lets_be_seen_is_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "5, GPU-8a1b/2")
    assert visible_gpus() == ["5", "GPU-8a1b/2"]
    with own_gpu() as one, own_gpu() as other:
        assert [one[VISIBLE], other[VISIBLE]] == ["5", "GPU-8a1b/2"]
    monkeypatch.setenv(VISIBLE, "5")
    with own_gpu() as environment:
        assert environment == {}


@pytest.mark.parametrize(
    ("shares_machine", "target", "number", "expected"),
    [(True, "auto", 0, "1"), (False, "auto", 0, None), (True, "cpu", 0, None), (True, "gpu", 2, None)],
)
def test_a_job_gets_its_gpu_where_jobs_run_at_once_and_none_was_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shares_machine: bool,
    target: str,
    number: int,
    expected: str | None,
) -> None:
    config = Config()
    config.device.target, config.device.id = target, number
    seen = tmp_path / "seen.json"
    monkeypatch.setattr(jobs, "COMMAND", (sys.executable, "-c", JOB, str(seen)))
    with own_gpu():  # GPU 0 is another job's
        jobs.run_apart(tmp_path / "0_job", config, [], shares_machine=shares_machine)
    assert json.loads(seen.read_text()).get(VISIBLE) == expected
