"""Settings of the training."""

from __future__ import annotations

from dataclasses import dataclass

from vistr.errors import UserError
from vistr.knobs import knob


@dataclass
class Optimizer:
    """AdamW and its schedule; an epoch visits every frame once, as the last frame of a clip."""

    learning_rate: float = knob(1e-4, more_than=0)
    backbone_learning_rate: float = knob(1e-5, at_least=0)  # 0: the backbone keeps its weights
    weight_decay: float = knob(1e-4, at_least=0)
    clip_norm: float = knob(0.1, more_than=0)  # global norm of the gradients
    epochs: int = knob(18, at_least=1)
    drop_epoch: int | None = knob(12, at_least=1)  # learning rates times drop_factor from here on; null: never
    drop_factor: float = knob(0.1, more_than=0, at_most=1)
    batch_size: int = knob(1, at_least=1)  # clips
    accumulation_steps: int = knob(1, at_least=1)  # batches whose gradients make one step
    max_steps: int | None = knob(None, at_least=1)  # ends the run before `epochs` does
    warmup_steps: int = knob(0, at_least=0)
    ema: float | None = knob(None, at_least=0, less_than=1)  # 0.999: also keep, evaluate and save averaged weights

    def check(self, at: str) -> None:
        """Raise a UserError for a schedule that does not fit the length of the run."""
        if self.drop_epoch is not None and self.drop_epoch > self.epochs:
            raise UserError(
                f"{at}.drop_epoch={self.drop_epoch} lies after the end, {at}.epochs={self.epochs}: set both, or "
                f"{at}.drop_epoch=null to keep the learning rate."
            )
        if self.max_steps is not None and self.warmup_steps >= self.max_steps:
            raise UserError(f"{at}.warmup_steps={self.warmup_steps} leaves nothing of {at}.max_steps={self.max_steps}.")
