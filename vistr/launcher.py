"""Several processes of one run, on one machine or on several, through MindSpore's msrun."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType

from vistr.config.compose import load_run
from vistr.config.overrides import path_override
from vistr.config.resuming import require_checkpoint
from vistr.config.run_names import override_key
from vistr.disk import explain_full_disk
from vistr.errors import UserError
from vistr.files import LAUNCH, PROGRAM, make_working_folder
from vistr.runs.claims import named_folder, new_folder, require_idle
from vistr.runtime import system
from vistr.runtime.child_process import child_environment, signal_at_parents_end
from vistr.runtime.host_channel import JOIN_SECONDS
from vistr.runtime.msrun import children, end_tails
from vistr.runtime.other_launchers import started_by_another
from vistr.runtime.parallel import HUB, KEY, LOCAL_RANKS
from vistr.runtime.signals import StopRequests
from vistr.runtime.streams import outlive_readers

USAGE = f"{LAUNCH} [options] PROCESSES {PROGRAM} [option=name] [key=value] ..."
# What starts a run: the script of a clone, the command of an installed package.
SCRIPTS = ("run.py", "vistr")
TASKS = ("train", "evaluate")
KEY_CHARACTERS = 16
# What MindSpore prints whatever its log level.
NOISE = b"[INFO] DISTRIBUTED"


def main(arguments: Sequence[str] | None = None) -> int:
    """Launch what the arguments (default: the command line's) say; returns the exit status."""
    if arguments is None:
        outlive_readers()
    try:
        options = parse(arguments)
        launch = Launch(options, overrides_of(options.command))
        with explain_full_disk(launch.folder):
            return launch.run()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The launcher's own options, and the command."""
    parser = argparse.ArgumentParser(prog="scripts/launch", usage=USAGE, description=__doc__)
    parser.add_argument("--nodes", type=int, default=1, help="machines; start this once on each")
    parser.add_argument(
        "--node", type=int, help="this machine's number, 0 for the one at --address (default: SLURM_NODEID, or 0)"
    )
    parser.add_argument("--address", default=None, help="host:port of the first machine; the next port is used too")
    parser.add_argument(
        "--key-file", type=Path, help=f"what the machines' processes know each other by, the same on each (or {KEY}=)"
    )
    parser.add_argument("processes", type=int, help="processes on this machine: on GPUs one each")
    parser.add_argument("command", nargs=argparse.REMAINDER, help=f"{PROGRAM} ...")
    options = parser.parse_args(arguments)
    if options.node is None:
        options.node = int(os.environ.get("SLURM_NODEID", "0")) if options.nodes > 1 else 0
    if options.processes < 1 or options.nodes < 1 or not 0 <= options.node < options.nodes:
        raise UserError(f"{USAGE}: PROCESSES and --nodes are at least 1, --node counts from 0")
    if options.nodes > 1 and options.address is None:
        raise UserError("several machines need --address=<host of the first>:<port>, the same on each")
    found = started_by_another()
    if found is not None and found[0] != "SLURM" and found[1] > options.nodes:
        raise UserError(
            f"{found[0]} starts the launcher {found[1]} times, and each would start {options.processes} processes:"
            " start it once on each machine, as with srun --ntasks-per-node=1 (docs/slurm.md)"
        )
    options.key = run_key(options)
    return options


def run_key(options: argparse.Namespace) -> str:
    """The secret that the run's processes know each other by: drawn for one machine, given by the user for several."""
    if options.nodes == 1:
        return secrets.token_hex(16)
    key = os.environ.get(KEY, "")
    if options.key_file is not None:
        try:
            others_may_read = options.key_file.stat().st_mode & 0o077
            key = options.key_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise UserError(f"--key-file={options.key_file} cannot be read: {error}") from error
        if others_may_read:
            raise UserError(f"--key-file={options.key_file} can be read by others: chmod 600 {options.key_file}")
    if len(key) < KEY_CHARACTERS:
        raise UserError(
            f"several machines need a key that only they know, {KEY_CHARACTERS} characters or more, the same on each:"
            f" export {KEY}=$(openssl rand -hex 16), or --key-file"
        )
    return key


def overrides_of(command: Sequence[str]) -> list[str]:
    """The overrides in the command: all that follows run.py, or vistr."""
    words = list(command)
    if words and Path(words[0]).name.startswith("python"):
        words = words[1:]
    if not words or Path(words[0]).name not in SCRIPTS:
        raise UserError(f"{USAGE}: the command to launch is {PROGRAM}")
    overrides = words[1:]
    if any(override.startswith("-") for override in overrides):
        raise UserError("launch starts one run: leave out -m (--multirun) and other flags")
    return overrides


class Launch:
    """One run's processes on this machine."""

    def __init__(self, options: argparse.Namespace, overrides: list[str]) -> None:
        self.options, self.overrides = options, overrides
        # A mistake should be said once, and before anything starts.
        self.config, folder = load_run(overrides)
        if self.config.task.name not in TASKS:
            raise UserError(f"launch is for task={' and task='.join(TASKS)}, not for task={self.config.task.name}")
        self.scratch: Path | None = None
        if self.config.resume is not None:
            require_checkpoint(Path(self.config.resume), self.config.overrides)
            require_idle(folder)
            self.folder = folder
        elif options.node == 0:
            named = any(override_key(override) == "hydra.run.dir" for override in overrides)
            self.folder = named_folder(folder) if named else new_folder(folder)
        else:
            self.folder = self.scratch = make_working_folder("vistr-launch-")
        self.logs = self.folder / f"ranks{options.node or ''}"
        self.requests = StopRequests()

    def run(self) -> int:
        """Start, show what the first rank prints, and wait for the end."""
        # Those of an earlier launch of this run would be shown again.
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        with (self.logs / "msrun.log").open("wb") as said:
            # In a session of its own: Ctrl-C comes here, and is passed on as a request to save and stop.
            msrun = subprocess.Popen(
                self.command(),
                env=self.environment(),
                stdout=said,
                stderr=said,
                start_new_session=True,
                preexec_fn=partial(signal_at_parents_end, system.KILL),
            )
        handlers = {n: signal.signal(n, self.stop(msrun)) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.follow(msrun)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return self.end(msrun.wait())

    def command(self) -> list[str]:
        """The call of msrun."""
        options = self.options
        host, port = self.address
        total = options.processes * options.nodes
        script = next(word for word in options.command if Path(word).name in SCRIPTS)
        if script == "vistr":  # msrun takes a path
            script = str(Path(sys.executable).parent / script)
        command = [str(Path(sys.executable).parent / "msrun"), f"--worker_num={total}"]
        command += [f"--local_worker_num={options.processes}", f"--master_addr={host}", f"--master_port={port}"]
        command += [f"--node_rank={options.node}", f"--log_dir={self.logs}", "--join=True", "--tail_worker_log=0"]
        command += [f"--cluster_time_out={JOIN_SECONDS:.0f}", script, *self.overrides]
        return command + ([] if self.config.resume else [path_override("hydra.run.dir", str(self.folder))])

    def environment(self) -> dict[str, str]:
        """Environment variables by which the processes find each other, and do not crowd each other out on a CPU."""
        host, port = self.address
        environment = child_environment() | {HUB: f"{host}:{port + 1}", KEY: self.options.key}
        # msrun starts "python", whichever comes first.
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', '')}"
        environment["PYTHONUNBUFFERED"] = "1"
        cores = system.available_cores()
        environment[LOCAL_RANKS] = str(self.options.processes)
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // self.options.processes)))
        return environment

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the scheduler; the ranks' hub has the next port."""
        if self.options.address is None:
            self.options.address = f"127.0.0.1:{free_port()}"
        host, _, port = self.options.address.rpartition(":")
        if not host or not port.isdigit():
            raise UserError(f"--address={self.options.address} is not host:port")
        return host, int(port)

    def follow(self, msrun: subprocess.Popen[bytes]) -> None:
        """Show what the first rank prints until msrun ends."""
        log = self.logs / "worker_0.log"
        position = 0
        while True:
            end_tails(msrun.pid)
            ended = msrun.poll() is not None
            if self.options.node == 0 and log.exists():
                with log.open("rb") as file:
                    file.seek(position)
                    lines = file.read().splitlines(keepends=True)
                if lines and not ended and not lines[-1].endswith(b"\n"):
                    lines.pop()
                position += sum(map(len, lines))
                sys.stdout.write(b"".join(x for x in lines if not x.startswith(NOISE)).decode(errors="replace"))
                sys.stdout.flush()
            if ended:
                return
            if b"kill all other workers" in (self.logs / "msrun.log").read_bytes():
                # The scheduler would wait half a minute for the one that is gone.
                for process in children(msrun.pid, "MS_SCHED", SCRIPTS):
                    process.kill()
            time.sleep(0.3)

    def stop(self, msrun: subprocess.Popen[bytes]) -> signal._HANDLER:
        """The handler of Ctrl-C and SIGTERM: the first asks every rank to save and stop, the second ends them."""

        def handle(number: int, frame: FrameType | None) -> None:
            request = self.requests.take()
            for process in children(msrun.pid, "MS_WORKER", SCRIPTS) if request != "repeated" else []:
                process.send_signal(signal.SIGTERM if request == "first" else system.KILL)

        return handle

    def end(self, status: int) -> int:
        """Say how it ended; returns the exit status."""
        if status == 0:
            shutil.rmtree(self.scratch or self.logs, ignore_errors=True)
            return 0
        if self.requests.came:
            return 130
        for log in sorted(self.logs.glob("worker_*.log")):
            lines = [x for x in log.read_bytes().splitlines() if x.strip() and not x.startswith(NOISE)]
            if log.stem != "worker_0" and lines:
                print(f"{log.stem}: {lines[-1].decode(errors='replace')}", file=sys.stderr)
        checkpoint = self.folder / "checkpoints/last.safetensors"
        shown, logs = os.path.relpath(self.folder), os.path.relpath(self.logs)
        again = f"to go on: {LAUNCH} {self.options.processes} {PROGRAM} resume={shown}"
        more = again if checkpoint.exists() else "nothing was saved yet"
        print(f"The run ended early, as one of its processes did; {more}\nWhat each printed: {logs}", file=sys.stderr)
        return 1


def free_port() -> int:
    """The first of two neighbouring ports that are free now."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
