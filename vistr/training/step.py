"""One training step: forward, matching on the host, loss, gradients; and their accumulation over batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor

from vistr.data.clips import Batch, ClipTargets
from vistr.losses.criterion import Criterion, Weights
from vistr.losses.matching import Costs, Match
from vistr.losses.supervision import Normalisers, count_boxes, supervise
from vistr.models.vistr import VisTR

LAYER_PARTS = ("class", "box", "giou")


@dataclass
class StepResult:
    """What one batch gave: `losses` by name ("loss" is the weighted total) and the gradients in parameter order."""

    losses: dict[str, float]
    gradients: tuple[Tensor, ...]
    matches: list[Match]
    seconds: dict[str, float] = field(default_factory=dict)


class TrainingStep:
    """Loss and gradients of a batch with respect to the network's trainable parameters.

    The network runs as two compiled graphs with the matching between them: it needs logits and boxes only, so that
    masks are computed for the matched slots and no others.
    """

    def __init__(
        self, model: VisTR, weights: Weights, costs: Costs, *, no_object_weight: float, aux_losses: bool
    ) -> None:
        self.model, self.costs = model, costs
        self.no_object_weight = no_object_weight
        self.parameters: list[Parameter] = list(model.trainable_params())
        detector, segmenter, criterion = model.detector, model.segmenter, Criterion(weights)
        first_layer = 0 if aux_losses else -1

        @ms.jit
        def detect(frames: Tensor, position: Tensor, blocked: Tensor, noise: Tensor | None) -> Any:
            logits, boxes, states, memory, stride4, stride8, stride16 = detector(frames, position, blocked, noise)
            return logits[first_layer:], boxes[first_layer:], states, memory, stride4, stride8, stride16

        @ms.jit
        def loss(
            logits: Tensor,
            boxes: Tensor,
            states: Tensor,
            memory: Tensor,
            stride4: Tensor,
            stride8: Tensor,
            stride16: Tensor,
            blocked: Tensor,
            query_rows: Tensor,
            frame_rows: Tensor,
            *targets: Tensor,
        ) -> Any:
            shared = segmenter.of_frame(memory, (stride4, stride8, stride16))
            masks = segmenter(shared, states, blocked, query_rows, frame_rows)
            return criterion(logits, boxes, masks, *targets)

        self.run_detect, self.run_loss = detect, loss
        self.gradients = ms.value_and_grad(self.forward, None, self.parameters, has_aux=True)

    def __call__(self, batch: Batch, noise: np.ndarray | None, normalisers: Normalisers | None = None) -> StepResult:
        """Losses and gradients of `batch`; `noise` is the step's dropout pool, None for no dropout.

        `normalisers` are those of all batches that share an optimizer step, None where this is the only one.
        """
        if normalisers is None:
            normalisers = Normalisers(max(1, count_boxes(batch.targets)), None)
        self.seconds: dict[str, float] = {}
        images, context = self.model.prepare(batch.frames, batch.padding)
        pool = None if noise is None else Tensor(noise)
        start = time.perf_counter()
        (total, by_layer, of_masks), gradients = self.gradients(
            images, context.position, context.blocked, pool, batch.targets, normalisers
        )
        losses = name_losses(float(total.asnumpy()), by_layer.asnumpy(), of_masks.asnumpy())
        losses.update(self.errors)
        spent = time.perf_counter() - start
        self.seconds["backward"] = spent - sum(self.seconds.values())
        return StepResult(losses, gradients, self.matches, self.seconds)

    def forward(
        self,
        images: Tensor,
        position: Tensor,
        blocked: Tensor,
        noise: Tensor | None,
        targets: Sequence[ClipTargets],
        normalisers: Normalisers,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of a batch and its parts, differentiable; the matching inside is not."""
        start = time.perf_counter()
        logits, boxes, states, *maps = self.run_detect(images, position, blocked, noise)
        host_logits, host_boxes = logits.asnumpy(), boxes.asnumpy()
        self.seconds["forward"] = time.perf_counter() - start
        start = time.perf_counter()
        supervision, self.matches = supervise(
            host_logits,
            host_boxes,
            targets,
            num_instances=self.model.num_instances,
            no_object_weight=self.no_object_weight,
            costs=self.costs,
            normalisers=normalisers,
        )
        self.errors = matching_errors(host_logits[-1], supervision.classes[-1], targets)
        self.seconds["match"] = time.perf_counter() - start
        batch, num_queries = host_logits.shape[1:3]
        num_frames = num_queries // self.model.num_instances
        result: tuple[Tensor, Tensor, Tensor] = self.run_loss(
            logits,
            boxes,
            states.reshape(batch * num_queries, -1),
            *maps,
            blocked.reshape(batch * num_frames, -1),
            Tensor(supervision.query_rows),
            Tensor(supervision.frame_rows),
            Tensor(supervision.classes),
            Tensor(supervision.class_weights),
            Tensor(supervision.boxes),
            Tensor(supervision.box_weights),
            Tensor(supervision.masks),
            Tensor(supervision.mask_weights),
        )
        return result


def name_losses(total: float, by_layer: np.ndarray, of_masks: np.ndarray) -> dict[str, float]:
    """Losses by name: the last layer's parts plain, the auxiliary layers' parts with the layer's number."""
    losses = {"loss": total}
    for layer, row in enumerate(by_layer):
        suffix = "" if layer == len(by_layer) - 1 else f"_{layer}"
        losses.update({f"{part}{suffix}": float(value) for part, value in zip(LAYER_PARTS, row, strict=True)})
    return {**losses, "mask": float(of_masks[0]), "dice": float(of_masks[1])}


def matching_errors(logits: np.ndarray, classes: np.ndarray, targets: Sequence[ClipTargets]) -> dict[str, float]:
    """Two figures to watch: percent of matched queries of the wrong class, and the error in the number of objects."""
    best = logits.argmax(-1)
    no_object = logits.shape[-1] - 1
    matched = classes != no_object
    wrong = float((best != classes)[matched].mean() * 100) if matched.any() else 100.0
    counted = (best != no_object).sum(1)
    miscounted = np.abs(counted - [t.valid.size for t in targets]).mean()
    return {"class_error": wrong, "cardinality_error": float(miscounted)}
