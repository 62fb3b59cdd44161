"""The original's numbers (tests/data/model) against this device's: outputs, losses, gradients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scripts.gpu_check.processes import Row
from tests import reference
from vistr.losses.settings import Loss
from vistr.training.step import TrainingStep

SMALLEST_GRADIENT = 1e-5


def compare(case: str, device: str, slack: float) -> Iterator[Row]:
    """Rows of one case; `slack` multiplies the tolerances of the CPU's tests."""
    numbers, arrays = reference.expected(case)
    settings = numbers["case"]
    network = reference.network(settings, device)
    batch = reference.batch(settings)
    outputs = network(batch.frames, batch.padding)
    for name, tolerance in (("logits", 1e-4), ("boxes", 1e-4), ("masks", 1e-3)):
        worst = float(np.abs(getattr(outputs, name).asnumpy() - arrays[f"pred_{name}"]).max())
        yield row(f"{case}: {name}", worst, tolerance * slack, "largest difference")
    step = TrainingStep(network, Loss())
    result = step(batch, None)
    theirs = {ours: numbers["losses"][f"loss_{name}"] for name, ours in reference.LOSS_NAMES.items()}
    theirs["loss"] = numbers["loss"]
    worst = max(abs(result.losses[name] - value) / max(abs(value), 1e-2) for name, value in theirs.items())
    yield row(f"{case}: losses", worst, 1e-5 * slack, "largest relative difference")
    norms = reference.gradient_norms(step, result)
    worst = max(
        abs(norms[name] - norm) / max(norm, SMALLEST_GRADIENT * 1e3) for name, norm in numbers["grad_norms"].items()
    )
    yield row(f"{case}: norms of {len(norms)} gradients", worst, 1e-3 * slack, "largest relative difference")


def row(name: str, found: float, limit: float, what: str) -> Row:
    """A row about a figure that must stay within a limit; one that is no number does not."""
    return Row(name, bool(found <= limit), f"{what} {found:.2g} (limit {limit:.2g})")
