"""Box geometry in the network's graph."""

from __future__ import annotations

from mindspore import Tensor, ops

EPSILON = 1e-6


def corners(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(cx, cy, w, h) `[..., 4]` to left, top, right, bottom, each `[...]`."""
    cx, cy, w, h = boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def generalised_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Generalised IoU (arXiv 1902.09630) of boxes pair by pair: `[..., 4], [..., 4] -> [...]`.

    The small constants in both quotients are the original's; they keep empty boxes finite.
    """
    left, top, right, bottom = corners(boxes)
    other_left, other_top, other_right, other_bottom = corners(others)
    width = ops.relu(ops.minimum(right, other_right) - ops.maximum(left, other_left))
    height = ops.relu(ops.minimum(bottom, other_bottom) - ops.maximum(top, other_top))
    intersection = width * height
    areas = (right - left) * (bottom - top) + (other_right - other_left) * (other_bottom - other_top)
    union = areas - intersection
    hull_width = ops.maximum(right, other_right) - ops.minimum(left, other_left)
    hull_height = ops.maximum(bottom, other_bottom) - ops.minimum(top, other_top)
    hull = hull_width * hull_height
    iou = (intersection + EPSILON) / (union + EPSILON)
    return iou - (hull - union + EPSILON) / (hull + EPSILON)
