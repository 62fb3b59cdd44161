"""A training's first and second start on a GPU, timed: `python -m tests.start_on_idle_gpu [RANKS] [key=value ...]`.

The paper's recipe at its size on generated videos, over the stand-ins for CUDA: all compiling and loading is real, the
steps between take no time. Prints when the first step was done, what was compiled, and what was compiled after it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vistr.files import ROOT
from vistr.runtime import gpu_runtime
from vistr.runtime.devices import stand_ins

TYPED = (
    *("device=gpu", "dataset/augmentation=paper", "backbone=r50", "num_frames=36"),
    *("dataset.num_videos=6", "dataset.video_length=36", "dataset.height=360", "dataset.width=640"),
    *("dataset.short_side=300", "dataset.long_side=540", "task.log_every=1", "training.max_steps=20"),
)


def start(ranks: int, folder: Path, typed: list[str]) -> None:
    """Run a training and say what came when."""
    environment = {**os.environ, gpu_runtime.STAND_INS: str(stand_ins.ready()), "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, str(ROOT / "run.py"), *TYPED, f"outputs={folder / 'outputs'}", *typed]
    if ranks > 1:
        command = [str(ROOT / "scripts/launch"), str(ranks), *command]
    begun, first_step = time.perf_counter(), None
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        seconds = time.perf_counter() - begun
        if " step 1/" in line:
            first_step = seconds
        if line.startswith(("compil", "load")) or " step " in line:
            print(f"  {seconds:6.1f} s  {line.rstrip()[:150]}", flush=True)
        if first_step is not None and line.startswith("compiling"):
            print("           ^ after the first step", flush=True)
    print(f"first step after {first_step or 0:.0f} s; status {process.wait()}", flush=True)


def main() -> None:
    """The first start and the second."""
    arguments = sys.argv[1:]
    ranks = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else 1
    with tempfile.TemporaryDirectory(prefix="vistr-start-") as folder:
        for which in ("first", "second"):
            print(f"{which} start, {ranks} process{'es' if ranks > 1 else ''}", flush=True)
            start(ranks, Path(folder), arguments)


if __name__ == "__main__":
    main()
