"""The losses (the paper's section 3.3): class, box L1, generalised IoU, focal and dice mask losses."""

from __future__ import annotations

from dataclasses import dataclass

import mindspore as ms
from mindspore import Tensor, nn, ops

from vistr.layers.padding import inside_of, sizes_at
from vistr.layers.resize import resize_bilinear
from vistr.losses.boxes import generalised_iou
from vistr.runtime import backend

FOCAL_ALPHA = 0.25


@dataclass(frozen=True)
class Weights:
    """Weights of the losses."""

    class_weight: float = 1.0
    box_weight: float = 5.0
    giou_weight: float = 2.0
    mask_weight: float = 1.0
    dice_weight: float = 1.0


class Criterion(nn.Cell):
    """Weighted totals and parts of the losses, given the supervision that matching laid out; all in float32."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.weights, self.sums_natively = weights, backend.sums_natively()

    def of_queries(
        self,
        logits: Tensor,
        boxes: Tensor,
        classes: Tensor,
        class_weights: Tensor,
        target_boxes: Tensor,
        box_weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Total, and the class, box and giou losses of every layer `[L, 3]`.

        `logits [L, B, Q, C+1]`, `boxes [L, B, Q, 4]`, the targets as in `Supervision`.
        """
        class_loss = (negative_log_likelihood(logits, classes) * class_weights).sum((1, 2))
        box_loss = (ops.abs(boxes - target_boxes).sum(-1) * box_weights).sum((1, 2))
        giou_loss = ((1 - generalised_iou(boxes, target_boxes)) * box_weights).sum((1, 2))
        w = self.weights
        by_layer = w.class_weight * class_loss + w.box_weight * box_loss + w.giou_weight * giou_loss
        return by_layer.sum(), ops.stack((class_loss, box_loss, giou_loss), -1)

    def of_masks(
        self, masks: Tensor, targets: Tensor, weights: Tensor, sizes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Total, and the mask and dice losses `[2]`.

        `masks [K, T, H/4, W/4]`, targets and weights as in `Supervision`; `sizes [K, 2]` are the sequences' height and
        width before padding, None where there is none.
        """
        focal, dice = mask_losses(masks, targets, sizes, sums_natively=self.sums_natively)
        mask_loss, dice_loss = (focal * weights).sum(), (dice * weights).sum()
        total = self.weights.mask_weight * mask_loss + self.weights.dice_weight * dice_loss
        return total, ops.stack((mask_loss, dice_loss))


def negative_log_likelihood(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy of every query: `logits [..., C+1]`, `classes [...]` int32 -> `[...]`."""
    one_hot = ops.one_hot(classes, logits.shape[-1], Tensor(1.0, ms.float32), Tensor(0.0, ms.float32))
    return -(ops.log_softmax(logits, -1) * one_hot).sum(-1)


def mask_losses(
    masks: Tensor, targets: Tensor, sizes: Tensor | None = None, *, sums_natively: bool = False
) -> tuple[Tensor, Tensor]:
    """Focal (arXiv 1708.02002; mean over pixels) and dice loss of every image: `[K, T, h, w] -> [K, T]` each.

    `masks` are logits, enlarged bilinearly to the targets' size `[K, T, H, W]`. Of both counts what lies within
    `sizes [K, 2]`, in the targets' pixels.
    """
    k, num_frames, height, width = targets.shape
    maps = masks.reshape(k * num_frames, *masks.shape[2:])
    maps = resize_bilinear(maps, height, width, sizes_at(sizes, 4), sizes)
    inside = inside_of(sizes, height, width)
    num_pixels = height * width if sizes is None else ops.tile(sizes[:, :1] * sizes[:, 1:], (1, num_frames)).reshape(-1)
    x = maps.reshape(k * num_frames, -1)
    y = targets.reshape(k * num_frames, -1).astype(ms.float32)
    probability = ops.sigmoid(x)
    agreement = x * y
    # The stable form of binary cross entropy; MindSpore's own has no usable gradient on a GPU.
    entropy = ops.relu(x) - agreement + ops.log1p(ops.exp(-ops.abs(x)))
    overlap = probability * y
    missed = probability + y - 2 * overlap
    alpha = (1 - FOCAL_ALPHA) - (1 - 2 * FOCAL_ALPHA) * y
    focal = row_sums(alpha * entropy * missed * missed, inside, sums_natively) / num_pixels
    total = row_sums(probability, inside, sums_natively) + row_sums(y, inside, sums_natively)
    dice = 1 - (2 * row_sums(overlap, inside, sums_natively) + 1) / (total + 1)
    return focal.reshape(k, num_frames), dice.reshape(k, num_frames)


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
