"""Kill small trainings at random moments, resume them until they are done, and compare them with one left alone.

python -m scripts.kill_check --count 200 [--seed 0] [--signals KILL,TERM,INT] [--work FOLDER] [KEY=VALUE ...]

With keys of the configuration the trainings are of another network than the smallest.

Evaluation, the moving average of the weights and a checkpoint of every epoch are on. A training that had saved nothing
is started anew, as its user would. Losses, TensorBoard's scalars, weights, moments, every checkpoint, rows and results
must equal the undisturbed run's to the last bit, and no temporary file may be left. Exit status 1 where they do not.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from scripts.kill_check.comparison import differences
from scripts.kill_check.lives import Life, Moment

TRAINING = [
    "experiments=quickstart",
    "num_frames=1",
    "dataset.num_videos=4",
    "dataset.height=32",
    "dataset.width=64",
    "dataset.video_length=2",
    "dataset.num_workers=1",
    "dataset/augmentation=light",
    "transformer.hidden_dim=96",
    "transformer.num_encoder_layers=1",
    "transformer.num_decoder_layers=1",
    "transformer.dropout=0.1",
    "training.batch_size=1",
    "training.accumulation_steps=2",
    "training.epochs=3",
    "schedule.drop_epoch=2",
    "schedule.warmup_steps=3",
    "training.ema=0.9",
    "task.evaluate_every=1",
    "task.checkpoint_every=1",
    "task.log_every=1",
    "task.num_pictures=1",
    "device=cpu",
    "device.threads=1",
]
STOPPED = {signal.SIGKILL: (-9,), signal.SIGTERM: (130, -15, 0), signal.SIGINT: (130, -2, 0)}


class Check:
    """The run that is left alone, and the victims that are held to it."""

    def __init__(self, work: Path, seed: int, signals: list[signal.Signals], keys: list[str]) -> None:
        self.work, self.draw, self.signals, self.keys = work, random.Random(seed), signals, keys
        self.kills: Counter[str] = Counter()
        self.num_wrong = 0
        self.reference = work / "reference"
        self.took = 0.0
        for _ in range(2):  # the second finds its graphs compiled, as the victims do
            shutil.rmtree(self.reference, ignore_errors=True)
            started = time.monotonic()
            if Life(self.command(self.reference), self.reference, work / "reference.log").wait() != 0:
                sys.exit(f"the run to compare with failed: {(work / 'reference.log').read_text()[-500:]}")
            self.took = time.monotonic() - started

    def command(self, folder: Path) -> list[str]:
        """What is typed for a new training in `folder`."""
        outputs = self.work / "outputs"
        places = [f"outputs={outputs}", f"dataset.root={self.work / 'data'}", f"hydra.run.dir={folder}"]
        return [*TRAINING, *self.keys, *places]

    def victim(self, name: str, most: int) -> int:
        """Kill one training at most so many times until it is done; returns how often, and says what is wrong."""
        folder, log = self.work / name, self.work / f"{name}.log"
        shutil.rmtree(folder, ignore_errors=True)
        log.unlink(missing_ok=True)
        new = [*self.command(folder), f"task.save_minutes={self.draw.choice(['0', '0.02', '10'])}"]
        story: list[str] = []
        wrong: list[str] = []
        while not wrong:
            saved = (folder / "checkpoints/last.safetensors").exists()
            if not saved:
                shutil.rmtree(folder, ignore_errors=True)
            life = Life([f"resume={folder}"] if saved else new, folder, log)
            number, moment = self.draw.choice(self.signals), Moment.draw(self.draw, self.took)
            if len(story) < most and life.kill_at(moment, number):
                story.append(f"{number.name} {moment.kind}")
                self.kills[story[-1]] += 1
                if life.status not in STOPPED[number]:
                    wrong.append(f"{story[-1]}: exit status {life.status}")
            elif life.wait() != 0:
                wrong.append(f"exit status {life.status} without a signal")
            else:
                break
        if not wrong:
            wrong = differences(self.reference, folder)
        if "Traceback" in log.read_text(encoding="utf-8", errors="replace"):
            wrong.append("a traceback")
        print(f"{name}: {', '.join(story)}: {'equal' if not wrong else 'DIFFERENT'}", flush=True)
        for what in wrong:
            print(f"    {what[:500]}", flush=True)
        if not wrong:
            shutil.rmtree(folder)
        tries = max(len(story), 1)  # one that failed before it was killed counts, too
        self.num_wrong += tries if wrong else 0
        return tries


def main() -> int:
    """Kill as often as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--signals", default="KILL,KILL,TERM,INT", help="drawn from; one named twice comes twice as often"
    )
    parser.add_argument("--work", type=Path, help="where the runs lie (default: a temporary folder)")
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE", help="of the configuration, for every training")
    options = parser.parse_args()
    signals = [signal.Signals[f"SIG{name}"] for name in options.signals.split(",")]
    with tempfile.TemporaryDirectory(prefix="kill-check-") as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        check = Check(work, options.seed, signals, options.keys)
        print(f"a run that is left alone takes {check.took:.1f} s", flush=True)
        done, started = 0, time.monotonic()
        while done < options.count:
            done += check.victim(f"victim_{options.seed}_{done}", min(options.count - done, check.draw.randint(2, 8)))
    for what, times in sorted(check.kills.items()):
        print(f"{what:20} {times:4}")
    seconds = (time.monotonic() - started) / max(done, 1)
    print(f"{done - check.num_wrong} of {done} kills went on to an equal run, {seconds:.1f} s a kill")
    return 1 if check.num_wrong else 0


if __name__ == "__main__":
    os.environ.setdefault("GLOG_v", "3")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import vistr.tasks.train  # noqa: F401  # once, for all that are forked off

    sys.exit(main())
