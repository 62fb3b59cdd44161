"""Which kernels the layers are built on, and how much of a clip they take at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Backend = Literal["gather", "native", "gpu"]


@dataclass(frozen=True)
class Limits:
    """The most that is computed at once. More is faster where calls cost more than work, less takes less memory."""

    backbone_pixels: int
    """Pixels of the images that go through the backbone together."""
    mask_pixels: int
    """Pixels at stride 4 of the instance sequences whose masks are computed together, without gradients."""
    loss_pixels: int
    """The same with their losses and gradients."""
    loss_sequences: int | None
    """So many sequences, if they fit, have their losses computed together, be there fewer: one graph serves all.
    None: as many as there are, rounded up to a power of two."""
    deformable_rows: int
    """Pixels that a deformable convolution reads together, 36 float32 values for each, or twice as many in half
    precision: below a million, so that no kernel counts past 2^31."""
    attention_scores: int
    """Attention weights that are held together."""


CPU_LIMITS = Limits(
    backbone_pixels=600_000,
    mask_pixels=400_000,
    loss_pixels=150_000,
    loss_sequences=None,
    deformable_rows=40_000,
    attention_scores=40_000_000,
)
GPU_LIMITS = Limits(
    backbone_pixels=8_000_000,
    mask_pixels=4_000_000,
    loss_pixels=2_000_000,
    loss_sequences=4,
    deformable_rows=400_000,
    attention_scores=40_000_000,
)

_current: Backend = "gather"


def use(backend: Backend) -> None:
    """Choose the kernels of every layer built from now on.

    "gather": convolution as a gather and a matrix product, for CPUs. "native": MindSpore's convolutions, which every
    device has and which export to ONNX. "gpu": those, channels last, and whatever else is faster on a GPU.
    """
    global _current
    _current = backend


def current() -> Backend:
    """The kernels that new layers are built on."""
    return _current


def sums_natively() -> bool:
    """Whether new layers sum and broadcast by MindSpore's own operators.

    On a CPU those are slow and hold 8 to 16 bytes an element: products with ones do the same, which a GPU would round
    where it computes products in TF32.
    """
    return _current == "gpu"


def limits(*, less_memory: bool = False, half_precision: bool = False) -> Limits:
    """How much new layers take at a time; with `less_memory` half as many objects' masks, and less of the backbone.

    In `half_precision` a GPU takes more objects' masks: they are smaller, and a step launches more without that.
    """
    found = GPU_LIMITS if _current == "gpu" else CPU_LIMITS
    if half_precision and found.loss_sequences is not None:
        found = replace(found, loss_sequences=found.loss_sequences + 1)
    if not less_memory:
        return found
    return replace(found, loss_pixels=found.loss_pixels // 2, backbone_pixels=min(found.backbone_pixels, 2_000_000))
