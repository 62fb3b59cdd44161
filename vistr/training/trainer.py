"""The training loop: batches in, optimizer steps, records, checkpoints; stops and goes on without a trace."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mindspore import Tensor

from vistr.config import Config
from vistr.data.clips import Batch
from vistr.data.loader import ClipLoader
from vistr.errors import UserError
from vistr.files import PROGRAM
from vistr.losses.criterion import LOSSES
from vistr.losses.supervision import group_normalisers
from vistr.models.vistr import VisTR
from vistr.runtime.device import DeviceName, peak_memory_gb
from vistr.runtime.graph import num_compiled
from vistr.runtime.memory import release
from vistr.runtime.parallel import Ranks
from vistr.runtime.signals import stop_requests
from vistr.tasks.settings import Train
from vistr.training.by_source import BySource
from vistr.training.mask_step import add
from vistr.training.optimizer import AdamW
from vistr.training.parts import step_noise
from vistr.training.progress import Progress
from vistr.training.scaling import LossScale
from vistr.training.step import TrainingStep
from vistr.training.tracking import Tracker
from vistr.weights.checkpoint import Metadata, TrainingState, save_checkpoint

logger = logging.getLogger(__name__)


class Trainer:
    """Trains one network in one run folder, alone or with other ranks, each on its shard of the clips.

    `evaluate(step, epoch)` returns the figures of the held-out videos, empty where there are none; those of the moving
    average of the weights begin with "ema_".
    """

    def __init__(
        self,
        config: Config,
        *,
        model: VisTR,
        step: TrainingStep,
        optimizer: AdamW,
        loader: ClipLoader,
        tracker: Tracker,
        metadata: Metadata,
        folder: Path,
        device: DeviceName,
        evaluate: Callable[[int, int], dict[str, float]],
        ranks: Ranks | None = None,
    ) -> None:
        self.model, self.step, self.optimizer, self.loader = model, step, optimizer, loader
        self.config, self.training, self.task = config, config.training, Train.of(config)
        self.tracker, self.metadata = tracker, metadata
        self.folder, self.device, self.evaluate = folder / "checkpoints", device, evaluate
        self.state: TrainingState = metadata.state
        self.ranks = ranks or Ranks()
        self.clips_a_step = loader.batch_size * self.training.accumulation_steps
        if self.state.clips_in_epoch is None:
            self.state.clips_in_epoch = self.seen_after(self.state.step_in_epoch, self.state.num_ranks)
        self.state.num_ranks = self.ranks.size
        self.by_source = BySource(loader.clips.names, tracker)
        self.scale = LossScale(metadata.state, config.device.first_loss_scale)
        group, epochs = self.training.accumulation_steps, self.training.epochs
        steps_left = (epochs - self.state.epoch - 1) * math.ceil(len(loader) / group)
        steps_left += math.ceil(loader.num_batches(self.state.clips_in_epoch) / group)
        self.total_steps = int(min(self.state.step + steps_left, self.training.max_steps or math.inf))
        self.progress = Progress(num_epochs=epochs, total_steps=self.total_steps, start_step=self.state.step)
        self.saved_at = time.monotonic()
        self.saved_step = -1

    def run(self) -> dict[str, float]:
        """Train to the end; returns the last figures of the held-out videos.

        Raises KeyboardInterrupt, after saving, where the user or the system asks to stop, and UserError where the
        loss is not finite.
        """
        with stop_requests() as stop_requested:
            # A run that was interrupted after its last step has an epoch to end yet.
            unfinished = self.state.step < self.total_steps or not is_ended(self.state)
            while unfinished:
                self.run_epoch(stop_requested)
                self.end_epoch()
                unfinished = self.state.step < self.total_steps
        # A rank that ends while another still adds gradients would take it along.
        self.ranks.leave()
        return self.metadata.metrics

    def run_epoch(self, stop_requested: Callable[[], bool]) -> None:
        """The clips left of the present epoch."""
        state = self.state
        batches = self.loader.epoch(state.epoch, state.clips_in_epoch or 0)
        try:
            while state.step < self.total_steps:
                waiting = time.perf_counter()
                group = list(itertools.islice(batches, self.training.accumulation_steps))
                if not group:
                    return
                self.optimize(group, time.perf_counter() - waiting)
                if self.ranks.any(stop_requested()):
                    self.save("last")
                    self.ranks.leave()
                    again = f"{PROGRAM} resume={self.folder.parent}"
                    logger.info("stopped after step %d; to go on: %s", state.step, again)
                    raise KeyboardInterrupt
                if time.monotonic() - self.saved_at > self.task.save_minutes * 60:
                    self.save("last")
        finally:
            batches.close()

    def optimize(self, group: Sequence[Batch], waited: float) -> None:
        """One optimizer step over a group of batches, recorded."""
        state = self.state
        rates = self.config.schedule.rates(self.config.optimizer, state.epoch, state.step, self.total_steps)
        losses, gradients, seconds = self.accumulate(group)
        if not math.isfinite(losses["loss"]):
            raise UserError(self.explain_not_finite(group, "loss", losses["loss"]))
        started = time.perf_counter()
        scale = self.scale.value
        norm = self.optimizer.step(gradients, rates, scale)
        release(gradients)
        if math.isfinite(norm):
            self.scale.passed()
        elif self.scale.can_shrink:
            self.scale.overflowed()
            logger.info("step %d: gradients overflowed at loss scale %g, nothing updated", state.step + 1, scale)
        else:
            raise UserError(self.explain_not_finite(group, "gradient norm", norm))
        seconds |= {"optimizer": time.perf_counter() - started, "data": waited}
        state.step += 1
        state.step_in_epoch += 1
        state.clips_in_epoch = self.seen_after(1, self.ranks.size, state.clips_in_epoch or 0)
        state.ended = False
        num_clips = sum(len(batch.targets) for batch in group) * self.ranks.size
        self.progress.step(num_clips)
        memory = peak_memory_gb(self.device)
        values = losses | {
            "learning_rate": rates[1],
            "grad_norm": norm,
            "clips_per_second": self.progress.clips_per_second,
            "memory_gb": memory,
            "compiled_graphs": num_compiled(),
        }
        if self.scale.dynamic:
            values["loss_scale"] = scale
        values |= {f"seconds_{part}": spent for part, spent in seconds.items()} | self.by_source.figures(self.ranks)
        self.tracker.scalars(state.step, values, "train", epoch=state.epoch + 1)
        if state.step % self.task.log_every == 0 or state.step in (1, self.total_steps):
            shown = {name: losses[name] for name in ("loss", *LOSSES)}
            self.progress.log(state.epoch + 1, shown, learning_rate=rates[1], grad_norm=norm, memory_gb=memory)

    def accumulate(self, group: Sequence[Batch]) -> tuple[dict[str, float], Sequence[Tensor], dict[str, float]]:
        """Losses, gradients and times of a group of batches, which together equal one large batch.

        The losses are those of all ranks, the gradients are this one's.
        """
        ranks = self.ranks
        weights = (self.model.num_instances, self.config.loss.no_object_weight)
        normalisers = group_normalisers(group, *weights, ranks=ranks)
        gradients: Sequence[Tensor] = ()
        losses: dict[str, float] = {}
        seconds: dict[str, float] = {}
        for i, batch in enumerate(group):
            # Every batch of a group, and every rank, draws its own noise.
            draw = (self.state.step * self.training.accumulation_steps + i) * ranks.size + ranks.rank
            noise = step_noise(self.config, len(batch.targets) * self.config.num_frames, draw)
            result = self.step(batch, noise, normalisers, self.scale.value)
            gradients = add(gradients, result.gradients)
            self.by_source.add(batch, result.losses, result.by_clip)
            for total, part in ((losses, result.losses), (seconds, result.seconds)):
                for name, value in part.items():
                    total[name] = total.get(name, 0.0) + value
        losses = dict(zip(losses, ranks.sum(list(losses.values())), strict=True))
        for name in ("class_error", "cardinality_error"):
            losses[name] /= len(group) * ranks.size
        return losses, gradients, seconds

    def end_epoch(self) -> None:
        """Evaluate and save as configured; at the end of the training in any case.

        Whatever interrupts this (a kill, a full disk) is made again by a resume: "last" is saved before the evaluation
        as of a run that has its epoch to end yet, and again, as of one that has ended it, when all else is there.
        """
        state = self.state
        over = state.step >= self.total_steps
        complete = self.loader.num_batches(state.clips_in_epoch or 0) == 0
        epoch = state.epoch + 1
        evaluates = over or (complete and epoch % self.task.evaluate_every == 0)
        with self.progress.aside():
            if evaluates and self.saved_step != state.step:
                self.save("last")
            state.ended = True
            if complete:
                state.epoch, state.step_in_epoch, state.clips_in_epoch = epoch, 0, 0
            if evaluates:
                figures = self.evaluate(state.step, epoch)
                self.metadata.metrics = figures
                if figures.get("AP", -1.0) > state.best:
                    state.best = figures["AP"]
                    self.save("best")
                if figures.get("ema_AP", -1.0) > state.best_ema:
                    state.best_ema = figures["ema_AP"]
                    self.save_average("best_ema")
            self.save_average("last_ema")
            if complete and self.task.checkpoint_every and epoch % self.task.checkpoint_every == 0:
                self.save(f"epoch_{epoch:03d}")
            self.save("last")

    def save(self, name: str) -> None:
        """Write one of the run's checkpoints; of several ranks the first does."""
        if self.ranks.first:
            save_checkpoint(self.folder / f"{name}.safetensors", self.model, self.metadata, self.optimizer.state())
        if name == "last":
            self.saved_at, self.saved_step = time.monotonic(), self.state.step

    def save_average(self, name: str) -> None:
        """Write the moving average of the weights, where one is kept, as a checkpoint to evaluate or deploy."""
        average = self.optimizer.average
        if average is None or not self.ranks.first:
            return
        figures = {key[4:]: value for key, value in self.metadata.metrics.items() if key.startswith("ema_")}
        origin = f"moving average of the weights, training.ema={average.decay}"
        with average.in_place():
            described = replace(self.metadata, metrics=figures, origin=origin)
            save_checkpoint(self.folder / f"{name}.safetensors", self.model, described, {})

    def seen_after(self, steps: int, num_ranks: int, seen: int = 0) -> int:
        """Clips of an epoch's order that are seen after some more steps of so many ranks."""
        return min(seen + steps * self.clips_a_step * num_ranks, len(self.loader.clips))

    def explain_not_finite(self, group: Sequence[Batch], what: str, value: float) -> str:
        """The sentence for a value that is not finite: where, on which clips of all ranks, and what is left."""
        # Of a video with fewer frames than a clip some come twice, back and forth.
        ours = [
            f"video {t.video_id}{f' of {t.source}' if t.source else ''}, frames {min(t.frames)} to {max(t.frames)}"
            for b in group
            for t in b.targets
        ]
        clips = "; ".join(clip for theirs in self.ranks.exchange(ours) for clip in theirs)
        last = self.folder / "last.safetensors"
        kept = f"the last good checkpoint is {last}" if last.exists() else "no checkpoint had been written yet"
        return (
            f"the {what} is {value} at step {self.state.step + 1} of epoch {self.state.epoch + 1}, on {clips};"
            f" {kept}; lower optimizer.learning_rate{' or set device.precision=fp32' * self.scale.dynamic}"
            " and try again"
        )


def is_ended(state: TrainingState) -> bool:
    """Whether nothing is left to evaluate or save of the epoch that the state stands in, or at the start of."""
    return state.ended or state.step_in_epoch == 0
