"""Settings of the training: its length and batches, the optimizer, and the learning rates' schedule."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from vistr.knobs import knob


@dataclass
class Training:
    """How long to train, and on how many clips a step; an epoch visits every frame once, as the last of a clip."""

    epochs: int = knob(18, at_least=1)
    max_steps: int | None = knob(None, at_least=1)  # ends the run before `epochs` does
    batch_size: int = knob(1, at_least=1)  # clips
    accumulation_steps: int = knob(1, at_least=1)  # batches whose gradients make one step
    ema: float | None = knob(None, at_least=0, less_than=1)  # 0.999: also keep, evaluate and save averaged weights

    @property
    def clips_per_step(self) -> int:
        """Clips that one process contributes to an optimizer step."""
        return self.batch_size * self.accumulation_steps


@dataclass
class Optimizer:
    """AdamW."""

    learning_rate: float = knob(1e-4, more_than=0)
    backbone_learning_rate: float = knob(1e-5, at_least=0)  # 0: the backbone keeps its weights
    # Of the learning rate, for the layers that say where a deformable encoder reads; as in Deformable DETR and DeVIS.
    offsets_rate_factor: float = knob(0.1, more_than=0)
    weight_decay: float = knob(1e-4, at_least=0)
    clip_norm: float = knob(0.1, more_than=0)  # global norm of the gradients

    @property
    def rates(self) -> tuple[float, float]:
        """Learning rates of the backbone and of the rest, where the schedule leaves them as they are."""
        return self.backbone_learning_rate, self.learning_rate


@dataclass
class Schedule(ABC):
    """Learning rate schedule, a factor over the training: a class here is an option by its name."""

    name: str = ""
    warmup_steps: int = knob(0, at_least=0)  # from zero, linearly

    def rates(self, optimizer: Optimizer, epoch: int, step: int, total_steps: int) -> tuple[float, float]:
        """Learning rates of the backbone and of the rest, at a step counted from 0 in an epoch counted from 0."""
        factor = self.factor(epoch, step, total_steps)
        if step < self.warmup_steps:
            factor *= (step + 1) / self.warmup_steps
        backbone, rest = optimizer.rates
        return backbone * factor, rest * factor

    @abstractmethod
    def factor(self, epoch: int, step: int, total_steps: int) -> float:
        """Factor of the learning rates, warm-up aside; the run has `total_steps`."""


@dataclass
class StepSchedule(Schedule):
    """One step down, as in the paper: after two thirds of the epochs, to a tenth."""

    name: str = "step"
    drop_epoch: int | None = knob(12, at_least=1)  # from here on; null: never, and so if the run ends before it
    drop_factor: float = knob(0.1, more_than=0, at_most=1, needs=("drop_epoch", lambda epoch: epoch is not None))

    def factor(self, epoch: int, step: int, total_steps: int) -> float:
        """`drop_factor` from `drop_epoch` on."""
        return self.drop_factor if self.drop_epoch is not None and epoch >= self.drop_epoch else 1.0


@dataclass
class CosineSchedule(Schedule):
    """Half a cosine from the end of the warm-up to the last step (arXiv 1608.03983)."""

    name: str = "cosine"
    final_factor: float = knob(0.0, at_least=0, at_most=1)  # what is left at the end

    def factor(self, epoch: int, step: int, total_steps: int) -> float:
        """From 1 to `final_factor`."""
        done = (step - self.warmup_steps) / max(total_steps - self.warmup_steps, 1)
        return self.final_factor + (1 - self.final_factor) * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


SCHEDULES: dict[str, Schedule] = {kind.name: kind() for kind in Schedule.__subclasses__()}
"""Every schedule by its name."""
