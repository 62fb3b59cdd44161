"""One training step: forward, matching on the host, loss and gradients."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, ops

from vistr.data.clips import Batch, ClipTargets
from vistr.layers.dropout import Noise
from vistr.losses.by_clip import losses_by_clip
from vistr.losses.criterion import Criterion, named_losses
from vistr.losses.matching import Match
from vistr.losses.settings import Loss
from vistr.losses.supervision import Normalisers, Supervision, count_boxes, supervise
from vistr.models.vistr import Context, Detection, VisTR, frame_chunks
from vistr.runtime import backend
from vistr.runtime.graph import Graph
from vistr.runtime.memory import release
from vistr.training.mask_step import MaskStep, add, dot


@dataclass
class StepResult:
    """Result of one batch: `losses` by name ("loss" is the weighted total) and the gradients in parameter order.

    The gradients are those of the loss times the scale that the step was given, in float32; the losses are plain.
    `by_clip` are the parts that single clips have in some of them, where the batch has several.
    """

    losses: dict[str, float]
    gradients: tuple[Tensor, ...]
    matches: list[Match]
    seconds: dict[str, float] = field(default_factory=dict)
    by_clip: dict[str, np.ndarray] = field(default_factory=dict)


class TrainingStep:
    """Loss and gradients of a batch with respect to the network's trainable parameters.

    The network runs as three compiled parts: backbone, transformer, masks with their losses. Matching needs logits
    and boxes only, so that it stands before the third and masks are computed for the matched slots alone. Going
    back, a part computes its forward pass again from what entered it: one part's activations are in memory at a time
    (of the backbone, those of a few frames, of the masks, those of a few objects), whatever the clip.
    """

    def __init__(self, model: VisTR, loss_settings: Loss) -> None:
        self.model, self.loss_settings = model, loss_settings
        self.first_layer = first_layer = 0 if loss_settings.aux_losses else -1
        self.parameters: list[Parameter] = list(model.trainable_params())
        detector, criterion, natively = model.detector, Criterion(loss_settings), backend.sums_natively()
        backbone = detector.backbone
        self.backbone_params = ms.ParameterTuple(backbone.trainable_params())
        names = {p.name for p in self.backbone_params}
        self.detector_params = ms.ParameterTuple(p for p in detector.trainable_params() if p.name not in names)
        self.from_images = not backbone.frozen_stem
        body = backbone if self.from_images else backbone.stages
        detector_params, backbone_params = self.detector_params, self.backbone_params
        gradients_of = ops.GradOperation(get_by_list=True, sens_param=True)

        def losses(logits: Tensor, boxes: Tensor, scale: Tensor, *targets: Tensor) -> Any:
            total, by_layer = criterion.sum_query_losses(logits[first_layer:], boxes[first_layer:], *targets)
            return total * scale, ops.concat((total.reshape(1), by_layer.reshape(-1)))

        losses_and_gradients = ms.value_and_grad(losses, (0, 1), has_aux=True)

        def loss(*inputs: Tensor) -> Any:
            return losses_and_gradients(*inputs)

        def weighted(
            stride32: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None, *gradients: Tensor
        ) -> Tensor:
            # Its gradient is the chain rule's: what MindSpore offers for that takes no constants beside the map.
            logits, boxes, states, memory = detector(stride32, position, key_padding_mask, noise)
            total = dot(logits, gradients[0], natively) + dot(boxes, gradients[1], natively)
            return total + dot(states, gradients[2], natively) + dot(memory, gradients[3], natively)

        gradients_of_weighted = ms.grad(weighted, 0, detector_params)

        def detector_gradients(*inputs: Tensor | None) -> Any:
            return gradients_of_weighted(*inputs)

        def backbone_gradients(x: Tensor, sizes: Tensor, paths: Tensor | None, *gradients: Tensor) -> Any:
            if paths is None:
                return gradients_of(body, backbone_params)(x, sizes, gradients)
            return gradients_of(body, backbone_params)(x, sizes, paths, gradients)

        kept = (list(model.get_parameters()), model.graphs, loss_settings)
        self.masks = MaskStep(model, criterion, needs_stride4=self.from_images, kept=kept)
        self.run_loss = Graph("losses of classes and boxes, with gradients,", loss, *kept)
        self.run_detector_gradients = Graph("the transformer's gradients", detector_gradients, *kept)
        self.run_backbone_gradients = Graph("the backbone's gradients", backbone_gradients, *kept)

    def __call__(
        self, batch: Batch, noise: Noise | None, normalisers: Normalisers | None = None, scale: float = 1.0
    ) -> StepResult:
        """Losses and gradients of `batch`; `noise` is what drops out in this step, None for nothing.

        `normalisers` are those of all batches that share an optimizer step, None where this is the only one. With a
        `scale` small gradients survive half precision.
        """
        if normalisers is None:
            normalisers = Normalisers(max(1, count_boxes(batch.targets)), None)
        clock = [time.perf_counter()]
        images, context = self.model.prepare(batch.frames, batch.padding)
        pool, paths = (None if drawn is None else Tensor(drawn) for drawn in noise or Noise())
        found = self.model.detect(images, context, pool, paths)
        logits, boxes = found.logits.asnumpy()[self.first_layer :], found.boxes.asnumpy()[self.first_layer :]
        clock.append(time.perf_counter())
        supervision, matches = supervise(
            logits,
            boxes,
            batch.targets,
            num_instances=self.model.num_instances,
            loss=self.loss_settings,
            normalisers=normalisers,
        )
        errors = matching_errors(logits[-1], supervision.classes[-1], batch.targets)
        several = len(batch.targets) > 1
        gamma = self.loss_settings.class_focal_gamma
        by_clip = losses_by_clip(logits[-1], boxes[-1], supervision, gamma) if several else {}
        clock.append(time.perf_counter())
        losses, gradients = self.backward(images, context, pool, paths, found, supervision, scale)
        clock.append(time.perf_counter())
        seconds = dict(zip(("forward", "match", "backward"), np.diff(clock).tolist(), strict=True))
        return StepResult({**losses, **errors}, gradients, matches, seconds, by_clip)

    def backward(
        self,
        images: Tensor,
        context: Context,
        noise: Tensor | None,
        paths: Tensor | None,
        found: Detection,
        supervision: Supervision,
        scale: float,
    ) -> tuple[dict[str, float], tuple[Tensor, ...]]:
        """The losses by name, and the gradients, times `scale`, in the order of `parameters`."""
        stride4, stride8, stride16, stride32 = found.maps
        factor, targets = Tensor(np.float32(scale)), (Tensor(target) for target in supervision.query_targets)
        (_, query_losses), (logits, boxes) = self.run_loss(found.logits, found.boxes, factor, *targets)
        key_padding_mask = context.padding_mask_by_frame(images.shape[0] // context.position.shape[0])
        mask_losses, states, memory, grad_maps, grad_segmenter = self.masks(
            found, key_padding_mask, context.sizes, supervision, factor
        )
        losses = named_losses(query_losses.asnumpy(), mask_losses.asnumpy())
        release((found.logits, found.boxes, found.states, found.memory, stride8, stride16))
        states = states.reshape(context.position.shape[0], -1, states.shape[-1])
        grad_stride32, grad_detector = self.run_detector_gradients(
            stride32, context.position, context.key_padding_mask, noise, logits, boxes, states, memory
        )
        release((stride32, logits, boxes, states, memory))
        grad_backbone: Sequence[Tensor] = ()
        if len(self.backbone_params):
            start = images if self.from_images else stride4
            size, inputs = self.model.frames_a_call(images), (start, context.sizes, paths)
            grad_backbone = self.backbone_gradients(inputs, [*grad_maps, grad_stride32], size)
        groups = ((self.detector_params, grad_detector), (self.backbone_params, grad_backbone))
        named = {
            p.name: g for parameters, some in groups for p, g in zip(parameters, some, strict=True)
        } | grad_segmenter
        gradients = tuple(named[p.name] for p in self.parameters)
        release((stride4, *grad_maps, grad_stride32))
        return losses, gradients

    def backbone_gradients(
        self, inputs: tuple[Tensor, Tensor, Tensor | None], grad_maps: Sequence[Tensor], size: int
    ) -> Sequence[Tensor]:
        """Gradients of the backbone's parameters, `size` frames at a time; frames that only fill up count nothing.

        `inputs` are images or the first maps, the frames' sizes, and their branches' factors.
        """
        num_frames = inputs[0].shape[0]
        count = -(-num_frames // size)
        chunks = [repeat(None, count) if some is None else frame_chunks(some, size) for some in inputs]
        total: Sequence[Tensor] = ()
        for i, chunk in enumerate(zip(*chunks, strict=True)):
            gradients = [g if count == 1 else g[i * size : (i + 1) * size] for g in grad_maps]
            missing = (i + 1) * size - num_frames
            if missing > 0:
                gradients = [ops.concat((g, ops.zeros((missing, *g.shape[1:]), g.dtype)), 0) for g in gradients]
            total = add(total, self.run_backbone_gradients(*chunk, *gradients))
        return total


def matching_errors(logits: np.ndarray, classes: np.ndarray, targets: Sequence[ClipTargets]) -> dict[str, float]:
    """Two figures to watch: percent of matched queries of the wrong class, and the error in the number of objects."""
    best = logits.argmax(-1)
    no_object = logits.shape[-1] - 1
    matched = classes != no_object
    wrong = float((best != classes)[matched].mean() * 100) if matched.any() else 100.0
    counted = (best != no_object).sum(1)
    miscounted = np.abs(counted - [t.valid.size for t in targets]).mean()
    return {"class_error": wrong, "cardinality_error": float(miscounted)}
