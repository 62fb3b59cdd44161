"""Jobs that run at once on a machine with several GPUs: each sees one that no other job has."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vistr.runtime import gpu_runtime, system

log = logging.getLogger(__name__)
VISIBLE = "CUDA_VISIBLE_DEVICES"


@contextmanager
def own_gpu(wanted: bool = True) -> Iterator[dict[str, str]]:
    """Reserve a GPU for a job while the body runs; yields the environment variables that show the job this GPU alone.

    They are empty on a machine with one GPU, and where none is `wanted`.

    The GPU is held by a lock on a file, which the system takes back from a process that is killed. Where there are more
    jobs than GPUs some share one.
    """
    visible = visible_gpus() if wanted else []
    if len(visible) < 2:
        yield {}
        return
    for gpu in visible:
        name = re.sub(r"\W", "_", gpu)
        path = Path(tempfile.gettempdir(), f"vistr-gpu-{system.user_id()}-{name}.lock")
        with path.open("a") as lock:
            try:
                system.lock(lock.fileno(), wait=False)
            except OSError:
                continue
            log.info("on GPU %s", gpu)
            yield {VISIBLE: gpu}
            return
    yield {VISIBLE: visible[os.getpid() % len(visible)]}


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        return [one.strip() for one in named.split(",") if one.strip()]
    return [str(number) for number in range(gpu_runtime.num_gpus())]
