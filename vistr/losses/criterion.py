"""The losses (the paper's section 3.3): class, box L1, generalised IoU, focal and dice mask losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import constexpr

from vistr.layers.padding import inside_of, sizes_at
from vistr.layers.resize import resize_bilinear
from vistr.losses.boxes import generalised_iou
from vistr.losses.settings import Loss
from vistr.runtime import backend

FOCAL_ALPHA = 0.25


def class_loss(
    logits: Tensor, boxes: Tensor, classes: Tensor, class_weights: Tensor, target_boxes: Tensor, box_weights: Tensor
) -> Tensor:
    """Cross entropy, `[L]`."""
    return (negative_log_likelihood(logits, classes) * class_weights).sum((1, 2))


def box_loss(
    logits: Tensor, boxes: Tensor, classes: Tensor, class_weights: Tensor, target_boxes: Tensor, box_weights: Tensor
) -> Tensor:
    """L1 distance of boxes, `[L]`."""
    return (ops.abs(boxes - target_boxes).sum(-1) * box_weights).sum((1, 2))


def giou_loss(
    logits: Tensor, boxes: Tensor, classes: Tensor, class_weights: Tensor, target_boxes: Tensor, box_weights: Tensor
) -> Tensor:
    """1 - generalised IoU of boxes, `[L]`."""
    return ((1 - generalised_iou(boxes, target_boxes)) * box_weights).sum((1, 2))


def focal_loss(
    logits: Tensor, targets: Tensor, probability: Tensor, inside: Tensor | None, num_pixels: Any, natively: bool
) -> Tensor:
    """Focal loss (arXiv 1708.02002), the mean over an image's pixels, `[n]`."""
    # The stable form of binary cross entropy; MindSpore's own has no usable gradient on a GPU.
    entropy = ops.relu(logits) - logits * targets + ops.log1p(ops.exp(-ops.abs(logits)))
    missed = probability + targets - 2 * (probability * targets)
    alpha = (1 - FOCAL_ALPHA) - (1 - 2 * FOCAL_ALPHA) * targets
    return row_sums(alpha * entropy * missed * missed, inside, natively) / num_pixels


def dice_loss(
    logits: Tensor, targets: Tensor, probability: Tensor, inside: Tensor | None, num_pixels: Any, natively: bool
) -> Tensor:
    """Dice loss, `[n]`."""
    total = row_sums(probability, inside, natively) + row_sums(targets, inside, natively)
    return 1 - (2 * row_sums(probability * targets, inside, natively) + 1) / (total + 1)


# Every loss, in the order it is reported in; the setting `<name>_weight` is its weight.
# Query losses take logits [L, B, Q, C+1], boxes [L, B, Q, 4] and the targets of `Supervision`, to one number a layer.
QUERY_LOSSES: dict[str, Callable[..., Tensor]] = {"class": class_loss, "box": box_loss, "giou": giou_loss}
# Mask losses take n images of P pixels: logits, targets and probabilities [n, P], what `row_sums` takes, and the number
# of pixels inside; to one number an image.
MASK_LOSSES: dict[str, Callable[..., Tensor]] = {"mask": focal_loss, "dice": dice_loss}
LOSSES = (*QUERY_LOSSES, *MASK_LOSSES)


class Criterion(nn.Cell):
    """Weighted totals and parts of the losses, given the supervision that matching laid out; all in float32."""

    def __init__(self, settings: Loss) -> None:
        super().__init__()
        weights = {name: float(getattr(settings, f"{name}_weight")) for name in LOSSES}
        known = {"no_object_weight", *(f"{name}_weight" for name in LOSSES)}
        if unknown := {name for name in vars(settings) if name.endswith("_weight")} - known:
            raise ValueError(f"{', '.join(unknown)}: there is no loss of that name")
        self.query_weights = tuple(weights[name] for name in QUERY_LOSSES)
        self.mask_weights = tuple(weights[name] for name in MASK_LOSSES)
        self.layers_grow, self.focal_gamma = settings.layer_weights == "growing", settings.class_focal_gamma
        self.sums_natively = backend.sums_natively()

    def sum_query_losses(
        self,
        logits: Tensor,
        boxes: Tensor,
        classes: Tensor,
        class_weights: Tensor,
        target_boxes: Tensor,
        box_weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Total, and the query losses of every layer `[L, number of losses]`.

        `logits [L, B, Q, C+1]`, `boxes [L, B, Q, 4]`, the targets as in `Supervision`.
        """
        if self.focal_gamma > 0:
            # Rounding may take a probability past 1, and a negative number has no power.
            missed = ops.relu(1 - ops.exp(-negative_log_likelihood(logits, classes)))
            class_weights = class_weights * ops.pow(missed, self.focal_gamma)
        parts: tuple[Tensor, ...] = ()
        for loss in QUERY_LOSSES.values():
            parts = (*parts, loss(logits, boxes, classes, class_weights, target_boxes, box_weights))
        by_layer = weighted_sum(parts, self.query_weights)
        if self.layers_grow:
            by_layer = by_layer * growing_weights(logits.shape[0])
        return by_layer.sum(), ops.stack(parts, -1)

    def sum_mask_losses(
        self, masks: Tensor, targets: Tensor, weights: Tensor, sizes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Total, and the mask losses `[number of losses]`.

        `masks [K, T, H/4, W/4]`, targets and weights as in `Supervision`; `sizes [K, 2]` are the sequences' height and
        width before padding, None where there is none.
        """
        parts: tuple[Tensor, ...] = ()
        for loss in mask_losses(masks, targets, sizes, sums_natively=self.sums_natively):
            parts = (*parts, (loss * weights).sum())
        return weighted_sum(parts, self.mask_weights), ops.stack(parts)


@constexpr
def growing_weights(num_layers: int) -> Tensor:
    """Weights of the layers, which add up to 1: `[L]`; they grow by equal steps to the last, which has a half."""
    weights = np.arange(1, num_layers + 1, dtype=np.float32)
    weights[-1] = max(1, weights[:-1].sum())
    return Tensor(weights / weights.sum())


def named_losses(query_losses: np.ndarray, mask_losses: np.ndarray) -> dict[str, float]:
    """Losses by name, "loss" being the total; those of auxiliary layers end in the layer's number.

    `query_losses` are the total and every layer's query losses in a row, `mask_losses` the total and the mask losses.
    """
    losses = {"loss": float(query_losses[0] + mask_losses[0])}
    by_layer = query_losses[1:].reshape(-1, len(QUERY_LOSSES))
    for layer, row in enumerate(by_layer):
        suffix = "" if layer == len(by_layer) - 1 else f"_{layer}"
        losses |= {f"{name}{suffix}": float(value) for name, value in zip(QUERY_LOSSES, row, strict=True)}
    return losses | {name: float(value) for name, value in zip(MASK_LOSSES, mask_losses[1:], strict=True)}


def negative_log_likelihood(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy of every query: `logits [..., C+1]`, `classes [...]` int32 -> `[...]`."""
    one_hot = ops.one_hot(classes, logits.shape[-1], Tensor(1.0, ms.float32), Tensor(0.0, ms.float32))
    return -(ops.log_softmax(logits, -1) * one_hot).sum(-1)


def mask_losses(
    masks: Tensor, targets: Tensor, sizes: Tensor | None = None, *, sums_natively: bool = False
) -> tuple[Tensor, ...]:
    """Every mask loss of every image: `[K, T, h, w] -> [K, T]` each, in the order of MASK_LOSSES.

    `masks` are logits, enlarged bilinearly to the targets' size `[K, T, H, W]`. What lies within `sizes [K, 2]`, in the
    targets' pixels, counts. Of targets in int8 pixels of -1 do not.
    """
    k, num_frames, height, width = targets.shape
    maps = masks.reshape(k * num_frames, *masks.shape[2:])
    maps = resize_bilinear(maps, height, width, sizes_at(sizes, 4), sizes)
    inside = inside_of(sizes, height, width)
    num_pixels = height * width if sizes is None else ops.tile(sizes[:, :1] * sizes[:, 1:], (1, num_frames)).reshape(-1)
    x = maps.reshape(k * num_frames, -1)
    y = targets.reshape(k * num_frames, -1).astype(ms.float32)
    if targets.dtype == ms.int8:
        judged = ops.greater_equal(y, 0).astype(ms.float32)
        if inside is not None:
            judged = judged.reshape(k, num_frames, -1) * inside.reshape(k, 1, -1)
        inside, y = ops.stop_gradient(judged.reshape(-1, height, width)), ops.relu(y)
        num_pixels = ops.maximum(row_sums(inside.reshape(k * num_frames, -1), None, sums_natively), 1)
    probability = ops.sigmoid(x)
    losses: tuple[Tensor, ...] = ()
    for loss in MASK_LOSSES.values():
        losses = (*losses, loss(x, y, probability, inside, num_pixels, sums_natively).reshape(k, num_frames))
    return losses


def weighted_sum(parts: tuple[Tensor, ...], weights: tuple[float, ...]) -> Tensor:
    """The parts times their weights, added up."""
    total = weights[0] * parts[0]
    for i in range(1, len(parts)):
        total = total + weights[i] * parts[i]
    return total


def row_sums(rows: Tensor, inside: Tensor | None, natively: bool) -> Tensor:
    """`[n, L] -> [n]`, of what is inside: `[K, H, W]` for n / K rows each, with L = H*W.

    By MindSpore's own sum, or as a matrix product: that sum's gradient is a broadcast, dear on a CPU.
    """
    if inside is None:
        return rows.sum(1) if natively else ops.matmul(rows, ops.ones((rows.shape[1], 1), rows.dtype)).reshape(-1)
    k, length = inside.shape[0], rows.shape[1]
    rows = rows.reshape(k, -1, length)
    if natively:
        return (rows * inside.reshape(k, 1, length)).sum(2).reshape(-1)
    return ops.bmm(rows, inside.reshape(k, length, 1)).reshape(-1)
