"""One reference case from weights to the second step, and what must come out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

from tests import reference, tiny
from vistr.data.clips import Batch
from vistr.models.vistr import Context, VisTR
from vistr.training.optimizer import AdamW
from vistr.training.settings import Optimizer
from vistr.training.step import StepResult


@dataclass
class Moment:
    """Outputs and losses before or after the optimizer step."""

    outputs: dict[str, np.ndarray]
    losses: dict[str, float]


@dataclass
class Run:
    """All that is compared, as NumPy arrays: the network itself is let go."""

    numbers: dict[str, Any]
    arrays: dict[str, np.ndarray]
    before: Moment
    after: Moment
    matched: tuple[np.ndarray, np.ndarray]
    gradient_norms: dict[str, float]
    global_norm: float


def compute(case: str, *, compiled: bool) -> Run:
    """Forward, losses, gradients, one optimizer step (clip 0.1, rates 1e-5 and 1e-4) and forward again.

    The original's layers count padding as part of the picture, all but attention, and so do those of this network here.
    """
    numbers, arrays = reference.expected(case)
    settings = numbers["case"]
    network = reference.network(settings)
    let_padding_leak(network)
    batch = reference.batch(settings)
    step = tiny.training_step(network)
    if not compiled:
        tiny.eager(tiny.eager(step).model)
    result = step(batch, None)
    before = Moment(all_outputs(network, batch), result.losses)
    norms = reference.gradient_norms(step, result)
    optimizer = AdamW(step.parameters, Optimizer(weight_decay=1e-4, clip_norm=0.1))
    global_norm = optimizer.step(result.gradients, (1e-5, 1e-4))
    losses_after = step(batch, None).losses
    after = Moment(all_outputs(network, batch), losses_after)
    return Run(numbers, arrays, before, after, matched_rows(result, batch), norms, global_norm)


def let_padding_leak(network: VisTR) -> None:
    """Tell the network that pictures fill their arrays; attention and position code go on leaving padding out."""
    prepare = network.prepare

    def leaking(frames: np.ndarray, padding: np.ndarray) -> tuple[Tensor, Context]:
        images, context = prepare(frames, padding)
        everything = np.tile(np.float32(images.shape[1:3]), (images.shape[0], 1))
        return images, context._replace(sizes=Tensor(everything))

    network.prepare = leaking  # type: ignore[method-assign]


def all_outputs(network: VisTR, batch: Batch) -> dict[str, np.ndarray]:
    """What calling the network gives."""
    return {name: tensor.asnumpy() for name, tensor in network(batch.frames, batch.padding)._asdict().items()}


def matched_rows(result: StepResult, batch: Batch, num_instances: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Query and target row of every frame in which a matched object is seen, sorted by query."""
    (match,), (truth,) = result.matches, batch.targets
    num_frames = truth.valid.shape[1]
    pairs = [
        (frame * num_instances + slot, instance * num_frames + frame)
        for slot, instance in zip(match.slots, match.objects, strict=True)
        for frame in np.flatnonzero(truth.valid[instance])
    ]
    queries, rows = np.array(sorted(pairs), int).reshape(-1, 2).T
    return queries, rows


def assert_losses(ours: dict[str, float], theirs: dict[str, float], tolerance: float) -> None:
    """Every loss the original names is there and agrees within the relative tolerance."""
    for name, value in theirs.items():
        words = name.removeprefix("loss_").split("_")
        kept = "_".join([reference.LOSS_NAMES.get(words[0], words[0]), *words[1:]])
        if "error" in name and name[-1].isdigit():
            continue  # kept of the last layer only
        np.testing.assert_allclose(ours[kept], value, rtol=tolerance, atol=1e-7, err_msg=name)


class ReferenceChecks:
    """What holds in every case; a subclass names its case."""

    case: str
    # Whether the network runs as graphs, whose compilation takes most of the time, or operator by operator.
    compiled = False
    # Some gradients are zero but for rounding: the first decoder layer's queries and keys see no values.
    smallest_gradient = 1e-6
    masks_after_step = 1e-3

    @pytest.fixture(scope="class")
    @classmethod
    def run(cls) -> Run:
        return compute(cls.case, compiled=cls.compiled)

    def test_outputs(self, run: Run) -> None:
        for name, value in run.before.outputs.items():
            theirs = run.arrays[name if name.startswith("aux") else f"pred_{name}"]
            tolerance = 1e-3 if name == "masks" else 1e-4
            np.testing.assert_allclose(value, theirs, rtol=0, atol=tolerance, err_msg=name)

    def test_match(self, run: Run) -> None:
        queries, rows = run.matched
        order = np.argsort(run.arrays["query_index"])
        np.testing.assert_array_equal(queries, run.arrays["query_index"][order])
        np.testing.assert_array_equal(rows, run.arrays["target_index"][order])

    def test_losses(self, run: Run) -> None:
        assert_losses(run.before.losses, run.numbers["losses"], 1e-5)
        np.testing.assert_allclose(run.before.losses["loss"], run.numbers["loss"], rtol=1e-5)

    def test_gradient_norms(self, run: Run) -> None:
        np.testing.assert_allclose(run.global_norm, run.numbers["grad_global_norm"], rtol=1e-3)
        assert run.gradient_norms.keys() == run.numbers["grad_norms"].keys()
        for name, norm in run.numbers["grad_norms"].items():
            ours = run.gradient_norms[name]
            np.testing.assert_allclose(ours, norm, rtol=1e-3, atol=self.smallest_gradient, err_msg=name)

    def test_losses_after_one_optimizer_step(self, run: Run) -> None:
        # Adam's first update is the sign of the gradient, so rounding turns a few weights' updates round.
        np.testing.assert_allclose(run.after.losses["loss"], run.numbers["loss_after_step"], rtol=1e-4)
        assert_losses(run.after.losses, run.numbers["losses_after_step"], 1e-4)

    def test_outputs_after_one_optimizer_step(self, run: Run) -> None:
        for name, tolerance in (("logits", 1e-4), ("masks", self.masks_after_step)):
            theirs = run.arrays[f"after_step_{name}"]
            np.testing.assert_allclose(run.after.outputs[name], theirs, rtol=0, atol=tolerance, err_msg=name)
