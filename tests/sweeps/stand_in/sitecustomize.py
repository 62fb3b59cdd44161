"""On PYTHONPATH, puts a stand-in in place of `task=train` in every Python: no network, but steps, records, checkpoints.

num_frames says what becomes of a job. 13 is a mistake of the user's, 14 a bug. After two steps, and only once, 15 is
killed, 16 kills its sweep and waits to be told to stop, 17 is told to stop, 18 presses Ctrl-C on its sweep. 19 edits
the study in conf/experiments/mine.yaml.
"""

import json
import os
import signal
import sys
import time
import types
from pathlib import Path
from typing import Any


def run(config: Any) -> dict[str, float]:
    from vistr.errors import UserError

    folder, frames = Path(config.run_dir), config.num_frames
    checkpoint = folder / "checkpoints" / "last.safetensors"
    checkpoint.parent.mkdir(exist_ok=True)
    first = int(checkpoint.read_text()) if config.resume else 0
    print(f"num_frames={frames} from step {first}", flush=True)
    if frames == 13:
        raise UserError("num_frames=13 brings bad luck.")
    if frames == 14:
        raise RuntimeError("a bug")
    if frames == 19:
        Path("conf/experiments/mine.yaml").write_text("# @package _global_\nloss:\n  dice_weight: 5.0\n")
    with (folder / "metrics.jsonl").open("a") as rows:
        for step in range(first + 1, 5):
            row = {"step": step, "epoch": 1, "kind": "train", "loss": 1 / step, "memory_gb": 1.0}
            rows.write(json.dumps(row) + "\n")
            rows.flush()
            checkpoint.write_text(str(step))
            if step == 2 and frames == 15:
                os.kill(os.getpid(), signal.SIGKILL)
            if step == 2 and frames == 16:
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(600)
            if step == 2 and frames == 17:
                os.kill(os.getpid(), signal.SIGTERM)
            if step == 2 and frames == 18:
                os.kill(os.getppid(), signal.SIGINT)
                time.sleep(600)
    with (folder / "metrics.jsonl").open("a") as rows:
        rows.write(json.dumps({"step": 4, "epoch": 1, "kind": "eval", "AP": frames / 100}) + "\n")
    return {"AP": frames / 100 + 0.1 - abs(config.loss.dice_weight - 1.0) / 50, "loss": 0.25}


train = types.ModuleType("vistr.tasks.train")
train.run = run  # type: ignore[attr-defined]
sys.modules["vistr.tasks.train"] = train
