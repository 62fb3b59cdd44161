"""Two processes of one run, started as a user does: they compute what one process computes, and end together."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from vistr.launcher import Launch, free_port, main, overrides_of, parse
from vistr.weights.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
NUM_STEPS = 20
SMALL = [
    "experiments=quickstart",
    "num_frames=1",
    "transformer.num_encoder_layers=1",
    "transformer.num_decoder_layers=1",
    "transformer.hidden_dim=96",
    "transformer.dropout=0",
    "dataset.num_videos=6",
    "dataset.video_length=5",
    "dataset.height=32",
    "dataset.width=64",
    "dataset.holdout=0.3",
    "dataset.num_workers=1",
    "optimizer.learning_rate=1e-4",
    "optimizer.backbone_learning_rate=1e-4",
    "schedule.warmup_steps=0",
    "schedule.drop_epoch=null",
    "training.epochs=2",
    "task.evaluate_every=2",
    "task.checkpoint_every=2",
    "task.num_pictures=0",
    "task.save_minutes=0",
    "device=cpu",
]
LAUNCH = [str(ROOT / "scripts/launch"), "2", "python", str(ROOT / "run.py")]


def test_a_python_without_the_project_s_packages_hands_over_or_says_so() -> None:
    done = subprocess.run([sys.executable, "-S", LAUNCH[0], "--help"], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert "usage" in done.stdout if (ROOT / ".venv").exists() else "activate the environment" in done.stderr


def run(folder: Path, *command: str) -> Path:
    """Run a command that must succeed; the folder of the one run it makes below `folder`."""
    done = subprocess.run([sys.executable, *command, f"outputs={folder}"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    # Graphs that an earlier run kept were really loaded.
    assert "compiled again" not in done.stdout + done.stderr
    (made,) = [path.parent for path in folder.glob("*/*/.hydra")]
    return made


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks, a clip a step each."""
    return run(tmp_path_factory.mktemp("together"), *LAUNCH, *SMALL, "training.batch_size=1")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, two clips a step."""
    return run(tmp_path_factory.mktemp("alone"), str(ROOT / "run.py"), *SMALL, "training.batch_size=2")


def training(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == "train"]


def test_two_ranks_have_the_losses_and_weights_of_one_process(together: Path, alone: Path) -> None:
    ours, theirs = training(together), training(alone)
    assert [row["step"] for row in ours] == [row["step"] for row in theirs] == list(range(1, NUM_STEPS + 1))
    for a, b in zip(ours, theirs, strict=True):
        for name in ("loss", "class", "box", "giou", "mask", "dice"):
            assert a[name] == pytest.approx(b[name], rel=1e-4), (name, a["step"])
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)
        assert a["learning_rate"] == b["learning_rate"]
    weights, others = read_checkpoint(together).model, read_checkpoint(alone).model
    assert weights.keys() == others.keys()
    # Adam turns rounding of a gradient near zero into a whole step, here of 1e-4: few weights may be steps apart.
    moved = np.concatenate([np.abs(weights[name] - others[name]).ravel() for name in weights])
    assert moved.max() < NUM_STEPS * 1e-4
    assert np.quantile(moved, 0.99) < 1e-5


def test_half_precision_and_accumulation_go_together_with_ranks(tmp_path: Path) -> None:
    both = [*SMALL, "device.precision=fp16", "device.loss_scale=64", "training.accumulation_steps=2"]
    both.append("training.max_steps=4")
    ours = training(run(tmp_path / "together", *LAUNCH, *both, "training.batch_size=1"))
    theirs = training(run(tmp_path / "alone", str(ROOT / "run.py"), *both, "training.batch_size=2"))
    assert len(ours) == len(theirs) == 4
    for a, b in zip(ours, theirs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=0.01)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=0.05)
        assert a["loss_scale"] == b["loss_scale"] == 64


def test_one_folder_and_one_log(together: Path, alone: Path) -> None:
    assert {path.name.split(".")[0] for path in together.iterdir()} == {
        path.name.split(".")[0] for path in alone.iterdir()
    }
    log = (together / "run.log").read_text()
    assert log.count("2 processes, 2 clips a step") == 1
    assert log.count("step 20/20") == 1


def test_a_shared_evaluation_is_that_of_one_process(together: Path, tmp_path: Path) -> None:
    evaluated = run(tmp_path, str(ROOT / "run.py"), "task=evaluate", f"checkpoint={together}", "task.num_pictures=0")
    one, other = (json.loads((folder / "metrics.json").read_text())["figures"] for folder in (together, evaluated))
    assert one == other
    merged, whole = ((folder / "results/results.json").read_bytes() for folder in (together, evaluated))
    assert merged == whole


def test_a_killed_rank_ends_the_other_and_the_run_goes_on(together: Path, tmp_path: Path) -> None:
    launched = subprocess.Popen(
        [sys.executable, *LAUNCH, *SMALL, "training.batch_size=1", f"outputs={tmp_path}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    saved = wait_for(tmp_path, launched)
    ranks = [p for p in psutil.Process(launched.pid).children(recursive=True) if is_rank(p)]
    victim = next(p for p in ranks if p.environ()["RANK_ID"] == "1")
    victim.kill()
    _, said = launched.communicate(timeout=300)
    assert launched.returncode == 1
    assert "ended early, as one of its processes did" in said
    assert "resume=" in said
    assert saved.name in said
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in ranks)
    stopped = read_checkpoint(saved).metadata.state.step
    assert 0 < stopped < NUM_STEPS - 2
    last = stopped + 2
    assert main(["2", "python", str(ROOT / "run.py"), f"resume={saved}", f"training.max_steps={last}"]) == 0
    assert [row["step"] for row in training(saved)] == list(range(1, last + 1))
    losses = ([row["loss"] for row in training(folder)[:last]] for folder in (saved, together))
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_a_request_to_stop_saves_first(tmp_path: Path) -> None:
    launched = subprocess.Popen(
        [sys.executable, *LAUNCH, *SMALL, "training.batch_size=1", "task.save_minutes=60", "training.epochs=200",
         f"outputs={tmp_path}"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert launched.stdout is not None
    for line in launched.stdout:
        if "step 1/" in line:
            launched.send_signal(signal.SIGTERM)
            break
    rest = launched.stdout.read()
    assert launched.wait(timeout=120) == 130
    (saved,) = [path.parent for path in tmp_path.glob("*/*/.hydra")]
    step = read_checkpoint(saved).metadata.state.step
    assert f"stopped after step {step}" in rest
    assert training(saved)[-1]["step"] == step


def wait_for(folder: Path, launched: subprocess.Popen[str]) -> Path:
    """The run's folder, once it has saved something."""
    while launched.poll() is None:
        for checkpoint in folder.glob("*/*/checkpoints/last.safetensors"):
            return checkpoint.parents[1]
        time.sleep(0.1)
    raise AssertionError(launched.communicate()[1])


def is_rank(process: psutil.Process) -> bool:
    try:
        return process.environ().get("MS_ROLE") == "MS_WORKER" and "run.py" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["2", "python", "train.py"], "the command to launch is python run.py"),
        (["2", "python", "run.py", "-m", "num_frames=1,2"], "leave out -m"),
        (["0", "python", "run.py"], "PROCESSES and --nodes are at least 1"),
        (["--nodes", "2", "8", "python", "run.py"], "--address="),
        (["--nodes", "2", "--address", "a:1", "8", "python", "run.py"], "export VISTR_KEY="),
        (["--nodes", "2", "--address", "a:1", "--key-file", "/no/key", "8", "python", "run.py"], "/no/key"),
        (["2", "python", "run.py", "nmu_frames=1"], "nmu_frames"),
        (["2", "python", "run.py", "task=benchmark"], "task=benchmark"),
    ],
)
def test_mistakes_are_one_sentence_before_anything_starts(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_one_machine_draws_its_key_and_hands_it_on_in_the_environment_alone(tmp_path: Path) -> None:
    typed = ["2", "python", "run.py", f"outputs={tmp_path}"]
    first, second = (Launch(options, overrides_of(options.command)) for options in (parse(typed), parse(typed)))
    keys = [one.environment()["VISTR_KEY"] for one in (first, second)]
    assert len(set(keys)) == 2
    assert all(len(key) == 32 for key in keys)
    assert first.environment()["VISTR_HUB"].startswith("127.0.0.1:")
    assert keys[0] not in " ".join(first.command())


def test_a_key_file_is_the_users_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "key"
    file.write_text("0123456789abcdef\n")
    several = ["--nodes", "2", "--address", "a:1", "--key-file", str(file), "1", "python", "run.py"]
    file.chmod(0o644)
    assert main(several) == 1
    assert f"can be read by others: chmod 600 {file}" in capsys.readouterr().err
    file.chmod(0o600)
    assert parse(several).key == "0123456789abcdef"


def test_strangers_do_not_disturb_two_ranks_that_train(together: Path, tmp_path: Path) -> None:
    address = "127.0.0.1", free_port()
    attacked = subprocess.Popen(
        [sys.executable, LAUNCH[0], "--address", f"{address[0]}:{address[1]}", *LAUNCH[1:], *SMALL,
         "training.batch_size=1", f"outputs={tmp_path}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    tried = 0
    kept = []
    while attacked.poll() is None:
        for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, None):
            with suppress(OSError):
                one = socket.create_connection((address[0], address[1] + 1), timeout=1)
                tried += 1
                if said is None:
                    kept.append(one)  # says nothing, and stays
                else:
                    one.sendall(said)
                    one.close()
        time.sleep(0.05)
    assert attacked.returncode == 0, attacked.communicate()[1]
    assert tried > 0  # once all ranks are there nothing listens
    (made,) = [path.parent for path in tmp_path.glob("*/*/.hydra")]
    losses = ([row["loss"] for row in training(folder)] for folder in (made, together))
    np.testing.assert_allclose(*losses, rtol=1e-4)
    for one in kept:
        one.close()


def test_a_launcher_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    launched = subprocess.Popen(
        [sys.executable, *LAUNCH, *SMALL, "training.batch_size=1", "training.epochs=200", f"outputs={tmp_path}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    saved = wait_for(tmp_path, launched)
    started = psutil.Process(launched.pid).children(recursive=True)
    launched.kill()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    # It was stopped as by a request: both ranks after the same step, saved.
    step = read_checkpoint(saved).metadata.state.step
    assert training(saved)[-1]["step"] == step


def test_several_machines_are_one_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISTR_KEY", "0123456789abcdef")
    typed = [
        "--nodes",
        "2",
        "--node",
        "1",
        "--address",
        "10.0.0.1:8118",
        "4",
        "python",
        "run.py",
        f"outputs={tmp_path}",
    ]
    options = parse(typed)
    second = Launch(options, overrides_of(options.command))
    command = second.command()
    for word in ("--worker_num=8", "--local_worker_num=4", "--node_rank=1", "--master_addr=10.0.0.1"):
        assert word in command
    assert second.environment()["VISTR_HUB"] == "10.0.0.1:8119"
    assert second.environment()["VISTR_KEY"] == "0123456789abcdef"
    # The first machine's folder is the run's.
    assert not second.folder.is_relative_to(tmp_path)
