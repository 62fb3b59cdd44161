"""From the command line to a task: Hydra composes, the task runs, a user's mistake ends in one sentence."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vistr import parallel
from vistr.child_process import end_with_parent
from vistr.config import overrides as typed
from vistr.config.compose import COMPOSITION_ERRORS, finish, load_config, prepare
from vistr.config.explanations import explain, missing_plugin
from vistr.errors import UserError
from vistr.files import ROOT, python_path
from vistr.results.run_record import recording
from vistr.sweeps.jobs import record_mistake, run_apart
from vistr.sweeps.plan import SweepPlan, plan
from vistr.tasks import run_task

log = logging.getLogger(__name__)
# Of several processes of one run the first alone writes into its folder, and says what it does.
QUIET = ("hydra.output_subdir=null", "hydra/job_logging=errors")
# Here, not when a sweep starts: launchers import this module in processes of their own.
prepare()


class BelowError(logging.Filter):
    """Keeps errors off standard output: they go to standard error."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is less than an error."""
        return record.levelno < logging.ERROR


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments (default: the command line's) ask for; returns the exit status."""
    _set_environment()
    if parallel.is_scheduler():
        end_with_parent(signal.SIGKILL)
        parallel.serve()
        return 0
    end_with_parent(signal.SIGTERM)  # which saves first
    try:
        return _launch(list(sys.argv[1:] if arguments is None else arguments))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _set_environment() -> None:
    """What has to stand before mindspore is imported, unless the user has set it."""
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's own warnings are not for the user
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # its threads spin otherwise
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its exceptions on, and we say them


def _launch(arguments: list[str]) -> int:
    flags = [argument for argument in arguments if argument.startswith("-")]
    sweep = "-m" in flags or "--multirun" in flags
    ready = typed.ready(arguments, sweep=sweep)
    try:
        if sweep and len(flags) == 1:
            return _sweep(ready)
        if not flags:
            # Before Hydra makes a folder: a mistake should leave none behind.
            config = load_config(arguments)
            _require_writable("outputs" if config.resume is None else "resume", config.resume or config.outputs)
        _start_hydra([*ready, *QUIET] if parallel.rank() > 0 else ready)
    except COMPOSITION_ERRORS as error:
        raise UserError(explain(error, ready)) from error
    except OSError as error:
        raise UserError(f"The run's folder, inside outputs=, cannot be written: {error.strerror}.") from error
    return 0


def _sweep(ready: list[str]) -> int:
    """Run a sweep, or go on with it, and report what came out, also where it was stopped."""
    # It draws: only a sweep needs that.
    from vistr.sweeps.report import report

    planned: SweepPlan = plan(ready)
    _require_writable("outputs", str(planned.folder.parent))
    # Launchers import this package in processes of their own, and should find this one.
    os.environ["PYTHONPATH"] = python_path()
    done = False
    try:
        _start_hydra([*ready, *planned.hydra_overrides])
        done = True
    except RuntimeError as error:
        sentence = missing_plugin(str(error))
        if sentence is None:
            raise
        raise UserError(sentence) from error
    finally:
        all_well = report(planned.folder, planned.optimize, planned.direction, complete=done)
    return 0 if all_well else 1


def _start_hydra(arguments: list[str]) -> None:
    sys.argv = [sys.argv[0], *arguments]
    hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="config")(run_job)()


def _require_writable(key: str, folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{key}={folder} cannot be written: {error.strerror}.") from error


def run_job(composed: DictConfig) -> float | None:
    """One job, in the folder Hydra made for it; in a sweep, returns the figure named by `optimize`.

    None where there is no such figure: to a sweeper such a job has failed, and the others still run.
    """
    settings = HydraConfig.get()
    overrides, folder = list(settings.overrides.task), settings.runtime.output_dir
    if settings.mode == RunMode.MULTIRUN:
        return _run_sweep_job(composed, overrides, Path(folder))
    try:
        with _sigterm_interrupts(), recording(Path(folder), composed.task.name, overrides) as figures:
            figures |= run_task(finish(composed, overrides, folder))
        return None
    except UserError as error:
        log.error("%s", error)
    except Exception:
        log.exception("The run ended in an unexpected error:")
    raise SystemExit(1)


def _run_sweep_job(composed: DictConfig, overrides: list[str], folder: Path) -> float | None:
    try:
        finish(composed, overrides, str(folder))
    except UserError as error:
        log.error("%s", error)
        record_mistake(folder, composed.task.name, overrides, str(error))
        return None
    verbose = [one for one in HydraConfig.get().overrides.hydra if one.startswith("hydra.verbose")]
    record = run_apart(folder, composed.task.name, overrides, verbose)
    value = record.figures.get(composed.optimize)
    if record.state == "finished" and value is None:
        log.error("optimize=%s is none of the job's figures: %s", composed.optimize, ", ".join(record.figures))
    return value if record.state == "finished" else None


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does, so that it is recorded; while it trains, the trainer takes both."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
