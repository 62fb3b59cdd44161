"""TensorBoard events and metrics.jsonl of a run, both exact after a resume."""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Mapping
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from vistr.files import replacing
from vistr.runs.rows import METRICS_FILE, numbered_lines
from vistr.runtime.parallel import Ranks

Kind = Literal["train", "eval", "ema"]
# What a row says beside its scalars.
ROW_KEYS = ("step", "epoch", "kind")


class Tracker:
    """Writes a run's scalars, pictures and texts into its folder: TensorBoard events and `metrics.jsonl`.

    Scalars are named without a prefix ("loss", "AP"); their TensorBoard tags are "train/loss", "eval/AP", the
    same in every run. Those of one category ("AP/cat") have a section of their own, "per_category/AP/cat": HParams
    lists the first few tags of a section, and should list AP50 before the cats. Those of one part of a mixture
    ("source/coco/loss") are tags as they are. A row of `metrics.jsonl` is
    {"step", "epoch", "kind", and the scalars by name}, null where a value is not finite. All of it is on the disk
    when a method returns, so that a checkpoint written afterwards never knows of more steps than the records do.

    Args:
        folder: the run's folder, itself the TensorBoard run.
        resume_step: the last step that counts, when a run goes on. Later rows and events, written before it
            was interrupted, are dropped. None: a new run, nothing earlier in the folder counts.
        evaluated: whether the evaluations of the `resume_step` count too. False: they will be made again.
    """

    def __init__(self, folder: Path, *, resume_step: int | None = None, evaluated: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        last = -1 if resume_step is None else resume_step
        self._step = max(last, 0)
        self._latest: dict[str, tuple[int, float]] = {}
        kept = drop_rows_after(folder / METRICS_FILE, last, evaluated=evaluated)
        self._rows = (folder / METRICS_FILE).open("a", encoding="utf-8")
        self._events = RecordWriter(str(next_event_file(folder)))
        self._write(Event(file_version="brain.Event:2"))
        # TensorBoard forgets earlier events from this step on; what still counts of it is told again.
        forgotten = last + 1 if evaluated else last
        self._write(Event(step=forgotten, session_log=SessionLog(status=SessionLog.START)))
        for row in kept:
            if row["step"] >= forgotten:
                self._add_scalars(tagged(row, row.get("kind", "train")))
        # What stands there of a step is not recorded again when the run ends.
        for kind, row in {row.get("kind", "train"): row for row in kept}.items():
            self._latest.update((tag, (row["step"], value)) for tag, value in tagged(row, kind).items())

    def scalars(self, step: int, values: Mapping[str, float], kind: Kind, *, epoch: int) -> None:
        """Records the values of one step: a row, and a scalar each."""
        self._step = step
        row: dict[str, Any] = {"step": step, "epoch": epoch, "kind": kind}
        row.update((name, float(value) if math.isfinite(value) else None) for name, value in values.items())
        self._rows.write(json.dumps(row, allow_nan=False) + "\n")
        self._rows.flush()
        self._add_scalars(tagged(values, kind))

    def image(self, tag: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Records a picture, uint8 [H, W, 3]."""
        self._add(summary.image(tag, pixels, dataformats="HWC"), step)

    def text(self, tag: str, text: str) -> None:
        """Records a text; TensorBoard shows it as Markdown."""
        record = summary.text(tag, text)
        record.value[0].tag = tag  # without the "/text_summary" it comes with
        self._add(record, self._step)

    def hparams(self, params: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Records what the run was set to and what came out: its row in TensorBoard's HParams.

        Called with no metrics when a run starts, it lists the run as going on; with them, as finished.
        `metrics` are named by their tags ("eval/AP"); one that is not recorded yet becomes a scalar of the
        last step. Parameters that are no number, bool or str are shown as text.
        """
        known = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in params.items()}
        # The first summary, the "experiment", is left out: TensorBoard would take one run's for all of them
        # and hide the parameters that run lacks. Without it, those of all runs are collected.
        _, start, end = summary.hparams(known, dict(metrics))
        self._add(start, self._step)
        new = {tag: v for tag, v in metrics.items() if self._latest.get(tag) != (self._step, float(v))}
        if new:
            self._add_scalars(new)
        if metrics:
            self._add(end, self._step)

    def latest(self, *tags: str) -> dict[str, float]:
        """The last values recorded under some tags; those with none are left out."""
        return {tag: self._latest[tag][1] for tag in tags if tag in self._latest}

    def close(self) -> None:
        """Closes the files."""
        with closing(self._events):
            self._rows.close()

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A disk that is full would say so again, in place of what ended the run.
        with suppress(OSError) if kind is not None else nullcontext():
            self.close()

    def _add_scalars(self, values: Mapping[str, float]) -> None:
        self._latest.update((tag, (self._step, float(value))) for tag, value in values.items())
        records = [summary.scalar(tag, float(value)).value[0] for tag, value in values.items()]
        self._add(Summary(value=records), self._step)

    def _add(self, record: Any, step: int) -> None:
        self._write(Event(step=step, summary=record))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._events.write(event.SerializeToString())
        self._events.flush()


class Silent(Tracker):
    """Records nothing: of several ranks the first keeps the run's records."""

    def __init__(self) -> None:
        """Nothing to open."""

    def scalars(self, step: int, values: Mapping[str, float], kind: Kind, *, epoch: int) -> None:
        """Drop the values."""

    def image(self, tag: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Drop the picture."""

    def text(self, tag: str, text: str) -> None:
        """Drop the text."""

    def hparams(self, params: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Drop the settings."""

    def latest(self, *tags: str) -> dict[str, float]:
        """Nothing was recorded."""
        return {}

    def close(self) -> None:
        """Nothing to close."""


def tagged(values: Mapping[str, float | None], kind: str) -> dict[str, float]:
    """The scalars of a step, or of a row of `metrics.jsonl`, by their TensorBoard tags."""
    scalars = {name: math.nan if v is None else v for name, v in values.items() if name not in ROW_KEYS}
    return {_tag(name, kind): value for name, value in scalars.items()}


def _tag(name: str, kind: str) -> str:
    if name.startswith("source/"):
        return name
    return f"per_category/{name}" if "/" in name else f"{kind}/{name}"


def open_tracker(folder: Path, ranks: Ranks, *, resume_step: int | None = None, evaluated: bool = True) -> Tracker:
    """The records of a run in the first rank, none in the others."""
    return Tracker(folder, resume_step=resume_step, evaluated=evaluated) if ranks.first else Silent()


def next_event_file(folder: Path) -> Path:
    """The name of a new event file, which TensorBoard reads after those that are there, whatever the clock says.

    It reads them in the order of their names, which begin with the second they were made in.
    """
    stamps = [path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*")]
    latest = max((int(stamp) for stamp in stamps if stamp.isdigit()), default=0)
    return folder / f"events.out.tfevents.{max(int(time.time()), latest + 1):010d}.{socket.gethostname()}"


def drop_rows_after(file: Path, step: int, *, evaluated: bool = True) -> list[dict[str, Any]]:
    """Drops the rows of a `metrics.jsonl` after `step`, and lines that are no row; all at once or not at all.

    Unless `evaluated`, those of an evaluation at `step` are dropped too. Returns the rows that are kept.
    """
    if not file.exists():
        return []
    kept = [
        (line, row)
        for line, row in numbered_lines(file)
        if row["step"] < step or (row["step"] == step and (evaluated or row.get("kind") == "train"))
    ]
    with replacing(file) as draft:
        draft.write_text("".join(line + "\n" for line, _ in kept), encoding="utf-8")
    return [row for _, row in kept]
