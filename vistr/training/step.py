"""One training step: forward, matching on the host, loss and gradients."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, ops

from vistr.data.clips import Batch, ClipTargets
from vistr.layers.graph import Graph
from vistr.layers.memory import release
from vistr.losses.criterion import Criterion, Weights
from vistr.losses.matching import Costs, Match
from vistr.losses.supervision import Normalisers, Supervision, count_boxes, supervise
from vistr.models.vistr import Context, Detection, VisTR, frame_chunks

LAYER_PARTS = ("class", "box", "giou")


@dataclass
class StepResult:
    """What one batch gave: `losses` by name ("loss" is the weighted total) and the gradients in parameter order.

    The gradients are those of the loss times the scale that the step was given, in float32; the losses are plain.
    """

    losses: dict[str, float]
    gradients: tuple[Tensor, ...]
    matches: list[Match]
    seconds: dict[str, float] = field(default_factory=dict)


class TrainingStep:
    """Loss and gradients of a batch with respect to the network's trainable parameters.

    The network runs as three compiled parts: backbone, transformer, masks with the criterion. Matching needs logits
    and boxes only, so that it stands before the third and masks are computed for the matched slots alone. Going
    back, a part computes its forward pass again from what entered it: one part's activations are in memory at a time
    (of the backbone, those of a few frames), whatever the length of the clip.
    """

    def __init__(
        self, model: VisTR, weights: Weights, costs: Costs, *, no_object_weight: float, aux_losses: bool
    ) -> None:
        self.model, self.costs = model, costs
        self.no_object_weight = no_object_weight
        self.first_layer = first_layer = 0 if aux_losses else -1
        self.parameters: list[Parameter] = list(model.trainable_params())
        detector, segmenter, criterion = model.detector, model.segmenter, Criterion(weights)
        backbone = detector.backbone
        self.of_segmenter = ms.ParameterTuple(segmenter.trainable_params())
        self.of_backbone = ms.ParameterTuple(backbone.trainable_params())
        names = {p.name for p in self.of_backbone}
        self.of_detector = ms.ParameterTuple(p for p in detector.trainable_params() if p.name not in names)
        self.from_images = not backbone.frozen_stem
        body = backbone if self.from_images else backbone.stages
        of_segmenter, of_detector, of_backbone = self.of_segmenter, self.of_detector, self.of_backbone
        gradients_of = ops.GradOperation(get_by_list=True, sens_param=True)

        def losses(
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
            scale: Tensor,
            *targets: Tensor,
        ) -> Any:
            shared = (*segmenter.of_memory(memory), *segmenter.mask_head.adapt(stride4, stride8, stride16))
            masks = segmenter(shared, states, blocked, query_rows, frame_rows)
            total, by_layer, of_masks = criterion(logits[first_layer:], boxes[first_layer:], masks, *targets)
            return total * scale, total, by_layer, of_masks

        # A frozen stem ends at stride 4: nobody asks for that map's gradient, the fifth input's.
        differentiated = tuple(i for i in range(7) if i != 4 or self.from_images)
        losses_and_gradients = ms.value_and_grad(losses, differentiated, of_segmenter, has_aux=True)

        def loss(*inputs: Tensor) -> Any:
            return losses_and_gradients(*inputs)

        def weighted(
            stride32: Tensor, position: Tensor, blocked: Tensor, noise: Tensor | None, *gradients: Tensor
        ) -> Tensor:
            # Its gradient is the chain rule's: what MindSpore offers for that takes no constants beside the map.
            logits, boxes, states, memory = detector(stride32, position, blocked, noise)
            total = dot(logits, gradients[0]) + dot(boxes, gradients[1])
            return total + dot(states, gradients[2]) + dot(memory, gradients[3])

        gradients_of_weighted = ms.grad(weighted, 0, of_detector)

        def detector_gradients(*inputs: Tensor | None) -> Any:
            return gradients_of_weighted(*inputs)

        def backbone_gradients(x: Tensor, *gradients: Tensor) -> Any:
            return gradients_of(body, of_backbone)(x, gradients)

        kept = (list(model.get_parameters()), model.graphs, (weights, first_layer))
        self.run_loss = Graph("masks and losses, with gradients,", loss, *kept)
        self.run_detector_gradients = Graph("the transformer's gradients", detector_gradients, *kept)
        self.run_backbone_gradients = Graph("the backbone's gradients", backbone_gradients, *kept)

    def __call__(
        self, batch: Batch, noise: np.ndarray | None, normalisers: Normalisers | None = None, scale: float = 1.0
    ) -> StepResult:
        """Losses and gradients of `batch`; `noise` is the step's dropout pool, None for no dropout.

        `normalisers` are those of all batches that share an optimizer step, None where this is the only one. With a
        `scale` small gradients survive half precision.
        """
        if normalisers is None:
            normalisers = Normalisers(max(1, count_boxes(batch.targets)), None)
        clock = [time.perf_counter()]
        images, context = self.model.prepare(batch.frames, batch.padding)
        pool = None if noise is None else Tensor(noise)
        found = self.model.detect(images, context, pool)
        logits, boxes = found.logits.asnumpy()[self.first_layer :], found.boxes.asnumpy()[self.first_layer :]
        clock.append(time.perf_counter())
        supervision, matches = supervise(
            logits,
            boxes,
            batch.targets,
            num_instances=self.model.num_instances,
            no_object_weight=self.no_object_weight,
            costs=self.costs,
            normalisers=normalisers,
        )
        errors = matching_errors(logits[-1], supervision.classes[-1], batch.targets)
        clock.append(time.perf_counter())
        losses, gradients = self.backward(images, context, pool, found, supervision, scale)
        clock.append(time.perf_counter())
        seconds = dict(zip(("forward", "match", "backward"), np.diff(clock).tolist(), strict=True))
        return StepResult({**losses, **errors}, gradients, matches, seconds)

    def backward(
        self,
        images: Tensor,
        context: Context,
        noise: Tensor | None,
        found: Detection,
        supervision: Supervision,
        scale: float,
    ) -> tuple[dict[str, float], tuple[Tensor, ...]]:
        """The losses by name, and the gradients, times `scale`, in the order of `parameters`."""
        stride4, stride8, stride16, stride32 = found.maps
        (_, total, by_layer, of_masks), (of_found, of_segmenter) = self.run_loss(
            found.logits,
            found.boxes,
            found.states,
            found.memory,
            stride4,
            stride8,
            stride16,
            context.of_frames(images.shape[0] // context.position.shape[0]),
            Tensor(supervision.query_rows),
            Tensor(supervision.frame_rows),
            Tensor(np.float32(scale)),
            *(Tensor(target) for target in supervision.targets),
        )
        losses = name_losses(float(total.asnumpy()), by_layer.asnumpy(), of_masks.asnumpy())
        release((found.logits, found.boxes, found.states, found.memory, stride8, stride16))
        logits, boxes, states, memory, *of_maps = of_found
        states = states.reshape(context.position.shape[0], -1, states.shape[-1])
        of_stride32, of_detector = self.run_detector_gradients(
            stride32, context.position, context.blocked, noise, logits, boxes, states, memory
        )
        release((stride32, logits, boxes, states, memory))
        of_backbone: Sequence[Tensor] = ()
        if len(self.of_backbone):
            start = images if self.from_images else stride4
            of_backbone = self.backbone_gradients(start, [*of_maps, of_stride32], self.model.frames_a_call(images))
        groups = ((self.of_segmenter, of_segmenter), (self.of_detector, of_detector), (self.of_backbone, of_backbone))
        named = {p.name: g for parameters, some in groups for p, g in zip(parameters, some, strict=True)}
        gradients = tuple(named[p.name] for p in self.parameters)
        release((stride4, *of_maps, of_stride32))
        return losses, gradients

    def backbone_gradients(self, start: Tensor, of_maps: Sequence[Tensor], size: int) -> Sequence[Tensor]:
        """Gradients of the backbone's parameters, `size` frames at a time; frames that only fill up count nothing."""
        chunks, n = frame_chunks(start, size), start.shape[0]
        total: Sequence[Tensor] = ()
        for i, chunk in enumerate(chunks):
            gradients = [g if len(chunks) == 1 else g[i * size : (i + 1) * size] for g in of_maps]
            missing = (i + 1) * size - n
            if missing > 0:
                gradients = [ops.concat((g, ops.zeros((missing, *g.shape[1:]), g.dtype)), 0) for g in gradients]
            total = add(total, self.run_backbone_gradients(chunk, *gradients))
        return total


def dot(x: Tensor, weights: Tensor) -> Tensor:
    """Sum of the products of two tensors' elements; a matrix product, whose gradient is one too."""
    return ops.matmul(x.reshape(1, -1), weights.reshape(-1, 1)).reshape(())


def add(total: Sequence[Tensor], more: Iterable[Tensor]) -> list[Tensor]:
    """The sum of two lists of gradients; the first may be empty."""
    return [a + b for a, b in zip(total, more, strict=True)] if total else list(more)


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
