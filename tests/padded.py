"""Clips that are padded, and how far what a network says of them is from what it says of each clip alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
from mindspore import Tensor, ops

from tests import reference, tiny
from vistr.data.clips import Batch
from vistr.losses.supervision import Normalisers, count_boxes
from vistr.models import heads, masks, resnet, transformer
from vistr.models.vistr import VisTR
from vistr.training.step import TrainingStep

Size = tuple[int, int]
BUCKET = (64, 96)
# Padded by nothing, by 1 and 31 pixels, and by as much again as the picture.
SIZES = [(64, 96), (63, 65), (32, 48)]


def clip(seed: int, size: Size, bucket: Size, num_frames: int = tiny.NUM_FRAMES) -> Batch:
    """A clip of (height, width) `size` with two objects, padded to `bucket`."""
    height, width = size
    images, _ = reference.clip(seed, num_frames, *(-(-side // 8) * 8 for side in size))
    truth = reference.targets(seed + 1, num_frames, height, width, 2, True)
    truth = replace(truth, labels=1 + truth.labels % tiny.NUM_CATEGORIES, masks=grown(truth.masks, bucket))
    padding = ~grown(np.ones((num_frames, height, width), bool), bucket)
    return Batch(grown(images[..., :height, :width], bucket)[None], padding[None], [truth])


def grown(array: np.ndarray, bucket: Size) -> np.ndarray:
    """`[..., h, w]` with zeros below and at the right."""
    margins = [(0, 0)] * (array.ndim - 2)
    margins += [(0, whole - side) for whole, side in zip(bucket, array.shape[-2:], strict=True)]
    return np.pad(array, margins)


class Answer:
    """The outputs, losses and gradients of a batch, the gradients of the loss times `scale` divided by it again."""

    def __init__(self, step: TrainingStep, batch: Batch, normalisers: Normalisers, scale: float = 1.0) -> None:
        self.outputs = outputs(step.model, batch)
        result = step(batch, None, normalisers, scale)
        self.losses = {k: v for k, v in result.losses.items() if "error" not in k}
        gradients = [g.asnumpy().astype(np.float64) / scale for g in result.gradients]
        self.gradients = {p.name: g for p, g in zip(step.parameters, gradients, strict=True)}


def outputs(network: VisTR, batch: Batch) -> dict[str, np.ndarray]:
    """What calling the network gives."""
    return {name: tensor.asnumpy() for name, tensor in network(batch.frames, batch.padding)._asdict().items()}


@dataclass(frozen=True)
class Distance:
    """How far a batch is from its clips alone.

    outputs: the largest difference of each; losses: the largest of each, relative; gradients: the norm of each
    parameter's difference, relative to its norm; whole_gradient: the same of all of them together; turned: the share
    of mask pixels that change sides.
    """

    outputs: dict[str, float]
    losses: dict[str, float]
    gradients: dict[str, float]
    whole_gradient: float
    turned: float


def distance(together: Answer, alone: Sequence[Answer]) -> Distance:
    """Of a batch from its clips: losses and gradients from their sums, as all share the batch's normalisers."""
    largest: dict[str, float] = {}
    turned = []
    for i, one in enumerate(alone):
        for name, theirs in one.outputs.items():
            ours = together.outputs[name]
            if len(alone) > 1:
                ours = np.take(ours, [i], 1 if name.startswith("aux") else 0)
            if name == "masks":
                ours = ours[..., : theirs.shape[2], : theirs.shape[3]]
            largest[name] = max(largest.get(name, 0.0), float(np.abs(ours.astype(np.float64) - theirs).max()))
            if name == "masks":
                turned.append(float(((ours > 0) != (theirs > 0)).mean()))
    losses = {k: sum(one.losses[k] for one in alone) for k in together.losses}
    sums = {k: sum((one.gradients[k] for one in alone), np.zeros(())) for k in together.gradients}
    apart = {k: float(np.linalg.norm(together.gradients[k] - g)) for k, g in sums.items()}
    # Some are zero but for rounding: the first decoder layer's queries and keys see no values.
    norms = {k: max(float(np.linalg.norm(g)), 1e-3) for k, g in sums.items()}
    return Distance(
        largest,
        {k: abs(v - losses[k]) / max(abs(losses[k]), 1e-12) for k, v in together.losses.items()},
        {k: apart[k] / norms[k] for k in sums},
        float(np.linalg.norm(list(apart.values())) / np.linalg.norm(list(norms.values()))),
        float(np.mean(turned)),
    )


def too_far(found: Distance, gradients: float) -> dict[str, float]:
    """Outputs and losses beyond the golden tolerances, and gradients beyond `gradients` of their norm."""
    limits = {name: 1e-3 if name == "masks" else 1e-4 for name in found.outputs}
    limits |= dict.fromkeys(found.losses, 1e-5) | dict.fromkeys(found.gradients, gradients)
    values = found.outputs | found.losses | found.gradients
    return {name: value for name, value in values.items() if not value <= limits[name]}


def distance_from_each_alone(changes: dict[str, Any], sizes: Sequence[Size] = SIZES) -> Distance:
    """Of a changed tiny network's clips of several sizes in one batch, padded to BUCKET."""
    step = tiny.eager(tiny.training_step(tiny.eager(tiny.model(**changes))))
    batch = tiny.join([clip(seed, size, BUCKET) for seed, size in enumerate(sizes)])
    normalisers = Normalisers(count_boxes(batch.targets), 20.0)
    together = Answer(step, batch, normalisers)
    return distance(together, [Answer(step, clip(seed, size, size), normalisers) for seed, size in enumerate(sizes)])


def smooth_relu(x: Tensor) -> Tensor:
    """A ReLU that bends over a tenth in place of its corner: `(x + sqrt(x^2 + 0.01)) / 2`."""
    return 0.5 * (x + ops.sqrt(x * x + 0.01))


class SmoothOps:
    """MindSpore's operators with that ReLU."""

    relu = staticmethod(smooth_relu)

    def __getattr__(self, name: str) -> Any:
        return getattr(ops, name)


@contextmanager
def smooth_relus() -> Iterator[None]:
    """While it lasts, networks in eager mode have no ReLU with a corner.

    Gradients jump where a ReLU's input passes 0. Rounding moves inputs by a millionth, so that of a few million ReLUs
    some turn, which changes the gradients of a ResNet-50 by up to some thousandths with or without padding.
    """
    with ExitStack() as stack:
        for module in (resnet, heads, masks, transformer):
            stack.enter_context(patch.object(module, "ops", SmoothOps()))
        yield
