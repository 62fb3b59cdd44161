"""A clip's results, losses and gradients depend neither on the size it is padded to nor on its neighbours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests import reference, tiny
from vistr.config import Device
from vistr.data.clips import Batch
from vistr.losses.supervision import Normalisers, count_boxes
from vistr.models.backbone import BLOCKS
from vistr.models.vistr import VisTR
from vistr.training.step import TrainingStep

BUCKET = (64, 96)
# Padded by nothing, by 1 and 31 pixels, and by as much again as the picture.
SIZES = [(64, 96), (63, 65), (32, 48)]
BLOCKS["tiny50"] = BLOCKS["tiny"]


def clip(seed: int, size: tuple[int, int], bucket: tuple[int, int]) -> Batch:
    """A clip of `size` with two objects, padded to `bucket`."""
    (height, width), frames = size, tiny.NUM_FRAMES
    images, _ = reference.clip(seed, frames, *(-(-side // 8) * 8 for side in size))
    truth = reference.targets(seed + 1, frames, height, width, 2, True)
    truth = replace(truth, labels=1 + truth.labels % tiny.NUM_CATEGORIES, masks=grown(truth.masks, bucket))
    padding = ~grown(np.ones((frames, height, width), bool), bucket)
    return Batch(grown(images[..., :height, :width], bucket)[None], padding[None], [truth])


def grown(array: np.ndarray, bucket: tuple[int, int]) -> np.ndarray:
    """`[..., h, w]` with zeros below and at the right."""
    margins = [(0, 0)] * (array.ndim - 2)
    margins += [(0, whole - side) for whole, side in zip(bucket, array.shape[-2:], strict=True)]
    return np.pad(array, margins)


def outputs(network: VisTR, batch: Batch) -> dict[str, np.ndarray]:
    return {name: tensor.asnumpy() for name, tensor in network(batch.frames, batch.padding)._asdict().items()}


class Answer:
    """What the network and a training step say of a batch."""

    def __init__(self, step: TrainingStep, batch: Batch, normalisers: Normalisers) -> None:
        self.outputs = outputs(step.model, batch)
        result = step(batch, None, normalisers)
        self.losses = {k: v for k, v in result.losses.items() if "error" not in k}
        self.gradients = [g.asnumpy() for g in result.gradients]


def assert_same_outputs(
    together: dict[str, np.ndarray], alone: dict[str, np.ndarray], clip: int, tolerance: float
) -> None:
    """The outputs of one clip of a batch are those of the clip alone; masks may differ by ten times the tolerance."""
    for name, value in alone.items():
        mine = np.take(together[name], [clip], 1 if name.startswith("aux") else 0)
        if name == "masks":
            mine = mine[..., : value.shape[2], : value.shape[3]]
        most = 10 * tolerance if name == "masks" else tolerance
        np.testing.assert_allclose(mine, value, rtol=0, atol=most, err_msg=f"{name} of clip {clip}")


VARIANTS: dict[str, tuple[dict[str, Any], list[tuple[int, int]]]] = {
    "basic blocks, dilated head": ({}, SIZES),
    "bottlenecks, dilated backbone, dense head": (
        {"name": "tiny50", "dilation": True, "sequence_head": "dense"},
        SIZES[1:],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "sizes"), VARIANTS.values(), ids=VARIANTS)
def test_clips_of_several_sizes_in_one_batch_are_as_each_alone(
    changes: dict[str, Any], sizes: list[tuple[int, int]]
) -> None:
    network = tiny.model(**changes)
    step = tiny.eager(tiny.training_step(tiny.eager(network)))
    clips = list(enumerate(sizes))
    batch = tiny.join([clip(seed, size, BUCKET) for seed, size in clips])
    normalisers = Normalisers(count_boxes(batch.targets), 20.0)
    together = Answer(step, batch, normalisers)
    losses: dict[str, float] = dict.fromkeys(together.losses, 0.0)
    gradients = [np.zeros_like(g) for g in together.gradients]
    for seed, size in clips:
        alone = Answer(step, clip(seed, size, size), normalisers)
        assert_same_outputs(together.outputs, alone.outputs, seed, 1e-4)
        losses = {name: value + alone.losses[name] for name, value in losses.items()}
        gradients = [a + b for a, b in zip(gradients, alone.gradients, strict=True)]
    for name, value in together.losses.items():
        assert value == pytest.approx(losses[name], rel=1e-5), name
    for parameter, ours, theirs in zip(step.parameters, together.gradients, gradients, strict=True):
        # Some are zero but for rounding: the first decoder layer's queries and keys see no values.
        assert np.linalg.norm(ours - theirs) < 1e-3 * max(float(np.linalg.norm(theirs)), 1e-3), parameter.name


@pytest.mark.slow
def test_half_precision_rounds_where_it_did() -> None:
    network = tiny.eager(tiny.model(device=Device(target="cpu", precision="fp16")))
    together = outputs(network, tiny.join([clip(seed, size, BUCKET) for seed, size in enumerate(SIZES[1:])]))
    for seed, size in enumerate(SIZES[1:]):
        assert_same_outputs(together, outputs(network, clip(seed, size, size)), seed, 2e-2)


@pytest.mark.slow
def test_half_precision_gradients_of_a_padded_clip_are_near_its_own() -> None:
    step = tiny.eager(tiny.training_step(tiny.eager(tiny.model(device=Device(target="cpu", precision="fp16")))))
    size, scale = SIZES[2], 128.0
    alone, padded = (
        np.concatenate([g.asnumpy().ravel() for g in step(clip(1, size, bucket), None, None, scale).gradients])
        for bucket in (size, BUCKET)
    )
    # 0.04 was measured, as much as between the two precisions; with a leak of padding it is 2. Not every clip is as
    # near: rounding is amplified 500 times on its way back, in single precision too.
    assert np.linalg.norm(padded - alone) < 0.15 * np.linalg.norm(alone)
