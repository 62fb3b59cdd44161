"""From the command line to a task: Hydra composes, the task runs, a user's mistake ends in one sentence."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vistr.config import Config
from vistr.config import overrides as typed
from vistr.config.command import Command, Sources, parse
from vistr.config.compose import COMPOSITION_ERRORS, finish, load_config, load_run, prepare, to_dict
from vistr.config.explanations import explain, launcher_trouble
from vistr.config.resuming import require_checkpoint, write_settings
from vistr.config.run_names import override_key
from vistr.disk import explain_full_disk
from vistr.errors import UserError
from vistr.files import CONF, python_path
from vistr.runs.claims import claim, give_up, named_folder, new_folder, take_over, writing
from vistr.runs.run_record import recording
from vistr.runtime import environment, parallel, system
from vistr.runtime.child_process import end_with_parent
from vistr.runtime.other_launchers import require_launcher
from vistr.runtime.signals import StopRequests
from vistr.runtime.streams import outlive_readers
from vistr.sweeps.jobs import SWEEP_JOB, record_mistake, run_apart
from vistr.sweeps.kept_configs import keep_sources, sources_of
from vistr.sweeps.plan import SweepPlan, plan
from vistr.tasks import run_task

log = logging.getLogger(__name__)
# Of several processes of one run the first alone writes into its folder, and says what it does.
QUIET = ("hydra.output_subdir=null", "hydra/job_logging=errors")
# The launchers that run several jobs of a sweep at once on this machine.
SIDE_BY_SIDE = ("JoblibLauncher", "LocalLauncher")
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names that the terminal's encoding lacks, or that are no text at all, are no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    if arguments is None:
        outlive_readers()
    if parallel.is_scheduler():
        end_with_parent(system.KILL)
        parallel.serve()
        return 0
    end_with_parent(signal.SIGTERM)  # which saves first
    sweep_job = os.environ.pop(SWEEP_JOB, None) is not None
    try:
        require_launcher()
        with explain_full_disk(None):
            return _launch(list(sys.argv[1:] if arguments is None else arguments), sweep_job=sweep_job)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _set_environment() -> None:
    """Set the environment variables that MindSpore and Hydra read."""
    environment.set_defaults()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its exceptions on, and we say them


def _launch(arguments: list[str], *, sweep_job: bool) -> int:
    command = parse(arguments)
    prepare(command.sources)
    ready = typed.ready(command.overrides, sweep=command.sweep)
    try:
        if command.showing:
            _show(command, ready)
        elif command.sweep:
            return _sweep(command, ready)
        else:
            _run(command, ready, sweep_job)
    except COMPOSITION_ERRORS as error:
        raise UserError(explain(error, ready)) from error
    return 0


def _show(command: Command, ready: list[str]) -> None:
    """Have Hydra print what it is asked for; of a resumed run, print the settings it goes on with."""
    config = load_config(ready) if any(typed.is_resume(one) for one in ready) else None
    if config is not None and any(flag in ("--cfg=job", "--cfg=all") for flag in command.showing):
        print(yaml.safe_dump(to_dict(config), sort_keys=False), end="")
        return
    _start_hydra([*command.sources.flags(), *command.showing, *ready], command.sources)


def _run(command: Command, ready: list[str], sweep_job: bool) -> None:
    """One run, in a folder that this process has for itself; of several ranks the first has it for all of them."""
    # Before Hydra makes a folder: a mistake should leave none behind.
    config, folder = load_run(ready)
    extra = list(QUIET) if parallel.rank() > 0 else []
    if parallel.rank() == 0:
        folder = _claim(config, folder, ready, sweep_job)
    if config.resume is not None:
        extra.append("hydra.output_subdir=null")  # it keeps what it says of the run's beginning
    extra.append(typed.path_override("hydra.run.dir", str(folder)))
    try:
        _start_hydra([*command.sources.flags(), *ready, *extra], command.sources)
    except OSError as error:
        raise UserError(f"The run's folder, inside outputs=, cannot be written: {error.strerror}.") from error
    finally:
        if parallel.rank() == 0:
            give_up(folder)


def _claim(config: Config, folder: Path, ready: list[str], sweep_job: bool) -> Path:
    named = any(override_key(override) == "hydra.run.dir" for override in ready)
    if config.resume is not None:
        require_checkpoint(Path(config.resume), config.overrides)
        take_over(folder, config.task.name, config.overrides, resume=True)
    elif named and sweep_job:
        take_over(folder, config.task.name, config.overrides, resume=False)
    else:
        folder = named_folder(folder) if named else new_folder(folder)
        claim(folder, config.task.name, config.overrides)
    return folder


def _sweep(command: Command, ready: list[str]) -> int:
    """Run a sweep, or go on with it, and report what came out, also where it was stopped."""
    # It draws: only a sweep needs that.
    from vistr.sweeps.ranking import report

    planned: SweepPlan = plan(ready)
    with writing(planned.folder):
        sources = keep_sources(command.sources, planned)
    # Launchers import this package in processes of their own, and should find this one.
    os.environ["PYTHONPATH"] = python_path()
    done = False
    try:
        _start_hydra([*sources.flags(), "--multirun", *ready, *planned.hydra_overrides], sources)
        done = True
    except RuntimeError as error:
        sentence = launcher_trouble(str(error))
        if sentence is None:
            raise
        raise UserError(sentence) from error
    finally:
        all_well = report(planned.folder, planned.optimize, planned.direction, complete=done)
    return 0 if all_well else 1


def _start_hydra(arguments: list[str], sources: Sources) -> None:
    sys.argv = [sys.argv[0], *arguments]
    folder = str(sources.main or CONF)
    hydra.main(version_base="1.3", config_path=folder, config_name=sources.name)(run_job)()


def run_job(composed: DictConfig) -> float | None:
    """One job, in the folder Hydra made for it; in a sweep, returns the figure named by `optimize`.

    None where there is no such figure: to a sweeper such a job has failed, and the others still run.
    """
    settings = HydraConfig.get()
    overrides, folder = list(settings.overrides.task), settings.runtime.output_dir
    # Paths are relative to where the user stands, with hydra.job.chdir=true too.
    os.chdir(settings.runtime.cwd)
    if settings.mode == RunMode.MULTIRUN:
        return _run_sweep_job(composed, overrides, Path(folder))
    try:
        full_disk = partial(explain_full_disk, Path(folder))
        record = recording(Path(folder), composed.task.name, overrides)
        # Within what is recorded, so that the record says why, and around the record, which is a file as well.
        with full_disk(), _sigterm_interrupts(), record as figures, full_disk():
            config = finish(composed, overrides, folder)
            if parallel.rank() == 0:
                write_settings(Path(folder), to_dict(config))
            figures |= run_task(config)
        return None
    except UserError as error:
        log.error("%s", error)
    except Exception:
        log.exception("The run ended in an unexpected error:")
    raise SystemExit(1)


def _run_sweep_job(composed: DictConfig, overrides: list[str], folder: Path) -> float | None:
    try:
        config = finish(composed, overrides, str(folder))
    except UserError as error:
        log.error("%s", error)
        record_mistake(folder, composed.task.name, overrides, str(error))
        return None
    hydra_config = HydraConfig.get()
    flags = sources_of(hydra_config).flags()
    verbose = [one for one in hydra_config.overrides.hydra if one.startswith("hydra.verbose")]
    shares_machine = hydra_config.launcher["_target_"].rpartition(".")[2] in SIDE_BY_SIDE
    record = run_apart(folder, config, overrides, [*flags, *verbose], shares_machine=shares_machine)
    value = record.figures.get(composed.optimize)
    if record.state == "finished" and value is None:
        log.error("optimize=%s is none of the job's figures: %s", composed.optimize, ", ".join(record.figures))
    return value if record.state == "finished" else None


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does, so that it is recorded; while it trains, the trainer takes both."""

    requests = StopRequests()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if requests.take() != "repeated":
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
