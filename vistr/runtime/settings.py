"""Settings of the device that computes."""

from __future__ import annotations

from dataclasses import dataclass

from vistr.knobs import knob


@dataclass
class Device:
    """Where to compute, and in which precision."""

    target: str = knob("auto", choices=("auto", "cpu", "gpu"))  # auto: the GPU where there is one
    id: int = knob(0, at_least=0)
    threads: int | None = knob(None, at_least=1)  # null: MindSpore decides
    # fp16: half precision; parameters, normalisation, attention weights, losses and matching stay in float32.
    precision: str = knob("fp32", choices=("fp32", "fp16"))
    # GPU, fp32: products and convolutions in TF32 (true) or not (false); null: in convolutions, MindSpore's default.
    tf32: bool | None = None
    loss_scale: float = knob(65536.0, more_than=0)  # fp16: the loss times this at first; halved when gradients overflow
    recompute: bool = False  # true: less memory, more time: fewer objects' masks at a time, layers computed again
    keep_graphs: bool = True  # compiled graphs are kept in the user's cache folder, for the next run

    @property
    def first_loss_scale(self) -> float | None:
        """Initial loss scale; None in float32, which needs none."""
        return self.loss_scale if self.precision == "fp16" else None
