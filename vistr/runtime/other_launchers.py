"""Whether something else than scripts/launch (srun, mpirun, torchrun) started several of this process."""

from __future__ import annotations

import os

from vistr.errors import UserError
from vistr.files import LAUNCH, PROGRAM
from vistr.runtime.parallel import HUB

# How other launchers tell a process how many of them there are.
OTHERS = {
    "SLURM_STEP_NUM_TASKS": "srun",
    "OMPI_COMM_WORLD_SIZE": "mpirun",
    "PMI_SIZE": "mpirun",
    "WORLD_SIZE": "torchrun",
    "MS_WORKER_NUM": "msrun",
}


def started_by_another() -> tuple[str, int] | None:
    """(program, processes) where a launcher that is not ours started several of this process; None where none did.

    SLURM tells a batch script the job's number of tasks: what it runs there is one of them only by `srun`.
    """
    variables = dict(OTHERS)
    if "SLURM_STEP_NUM_TASKS" not in os.environ:
        variables["SLURM_NTASKS"] = "SLURM"
    for variable, program in variables.items():
        value = os.environ.get(variable, "")
        if value.isdigit() and int(value) > 1:
            return program, int(value)
    return None


def require_launcher() -> None:
    """UserError where another launcher started several of this process: each would be a run of its own."""
    found = started_by_another() if HUB not in os.environ else None
    if found is not None:
        program, count = found
        raise UserError(
            f"{program} gives {count} processes, which would each be a run of their own: type"
            f" {LAUNCH} {count} {PROGRAM} ... instead, once on each machine (docs/slurm.md, docs/devices.md);"
            " for one process alone: srun --ntasks=1 or mpirun -n 1"
        )
