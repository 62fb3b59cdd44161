"""Generalised IoU of boxes."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor

from vistr.losses.boxes import generalised_iou

pytestmark = pytest.mark.usefixtures("cpu")

CASES = {
    "the same box": ([0.5, 0.5, 0.2, 0.4], [0.5, 0.5, 0.2, 0.4], 1.0),
    "half of the other": ([0.25, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0], 0.5),
    "side by side": ([0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0], 0.0),
    "far apart": ([0.1, 0.5, 0.2, 1.0], [0.9, 0.5, 0.2, 1.0], -0.6),
    "overlapping in a corner": ([0.3, 0.3, 0.4, 0.4], [0.5, 0.5, 0.4, 0.4], 0.04 / 0.28 - 0.08 / 0.36),
}


@pytest.mark.parametrize(("box", "other", "expected"), CASES.values(), ids=CASES)
def test_overlap_less_the_empty_part_of_the_hull(box: list[float], other: list[float], expected: float) -> None:
    for pair in ((box, other), (other, box)):
        boxes, others = (Tensor(np.array([b], np.float32)) for b in pair)
        assert generalised_iou(boxes, others).asnumpy() == pytest.approx(expected, abs=1e-4)


def test_two_empty_boxes_are_finite() -> None:
    empty = Tensor(np.zeros((3, 4), np.float32))
    assert np.isfinite(generalised_iou(empty, empty).asnumpy()).all()
