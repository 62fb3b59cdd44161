"""From the command line to a task: Hydra composes, the task runs, a user's mistake ends in one sentence."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vistr import parallel
from vistr.config import overrides as typed
from vistr.config.compose import COMPOSITION_ERRORS, ROOT, finish, load_config, prepare
from vistr.config.explanations import explain
from vistr.errors import UserError
from vistr.tasks import run_task

log = logging.getLogger(__name__)
# Of several processes of one run the first alone writes into its folder, and says what it does.
QUIET = ("hydra.output_subdir=null", "hydra/job_logging=errors")


class JobFailed(Exception):
    """One job of a sweep failed, and has said why; the other jobs still run."""


class BelowError(logging.Filter):
    """Keeps errors off standard output: they go to standard error."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is less than an error."""
        return record.levelno < logging.ERROR


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments (default: the command line's) ask for; returns the exit status."""
    _set_environment()
    if parallel.is_scheduler():
        parallel.serve()
        return 0
    try:
        _launch(list(sys.argv[1:] if arguments is None else arguments))
    except (UserError, JobFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


def _set_environment() -> None:
    """What has to stand before mindspore is imported, unless the user has set it."""
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's own warnings are not for the user
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # its threads spin otherwise
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its exceptions on, and we say them


def _launch(arguments: list[str]) -> None:
    flags = [argument for argument in arguments if argument.startswith("-")]
    sweep = "-m" in flags or "--multirun" in flags
    ready = typed.ready(arguments, sweep=sweep)
    if not flags:
        # Before Hydra makes a folder: a mistake should leave none behind.
        config = load_config(arguments)
        _require_writable("outputs" if config.resume is None else "resume", config.resume or config.outputs)
    try:
        if sweep:
            ready.append(typed.leave_out_of_names(ready))
        if parallel.rank() > 0:
            ready += QUIET
        prepare()
        sys.argv = [sys.argv[0], *ready]
        hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="config")(run_job)()
    except COMPOSITION_ERRORS as error:
        raise UserError(explain(error, ready)) from error
    except OSError as error:
        raise UserError(f"The run's folder, inside outputs=, cannot be written: {error.strerror}.") from error


def _require_writable(key: str, folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{key}={folder} cannot be written: {error.strerror}.") from error


def run_job(composed: DictConfig) -> dict[str, float]:
    """One job, in the folder Hydra made for it; returns the task's figures."""
    settings = HydraConfig.get()
    run_dir = settings.runtime.output_dir
    try:
        return run_task(finish(composed, list(settings.overrides.task), run_dir))
    except UserError as error:
        log.error("%s", error)
    except Exception:
        log.exception("The run ended in an unexpected error:")
    if settings.mode == RunMode.MULTIRUN:
        raise JobFailed(f"The sweep is over; at least one job failed, first {run_dir}.")
    raise SystemExit(1)
