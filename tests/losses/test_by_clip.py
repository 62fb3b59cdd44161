"""Losses of single clips on the host are parts of the criterion's."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor

from tests import tiny
from tests.numeric import random
from vistr.losses.by_clip import losses_by_clip
from vistr.losses.criterion import QUERY_LOSSES, Criterion
from vistr.losses.settings import Loss
from vistr.losses.supervision import Normalisers, count_boxes, supervise

pytestmark = pytest.mark.usefixtures("cpu")


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_they_add_up_to_the_losses_of_the_batch(gamma: float) -> None:
    batch = tiny.join([tiny.clip(1, 2), tiny.clip(2, 1), tiny.clip(3, 0)])
    queries = tiny.NUM_FRAMES * tiny.NUM_INSTANCES
    logits = random(1, 1, 3, queries, tiny.NUM_CATEGORIES + 2)
    boxes = 0.3 + 0.2 * np.abs(random(2, 1, 3, queries, 4)) / (1 + np.abs(random(2, 1, 3, queries, 4)))
    settings = Loss(class_focal_gamma=gamma)
    normalisers = Normalisers(count_boxes(batch.targets), None)
    supervision, _ = supervise(
        logits, boxes, batch.targets, num_instances=tiny.NUM_INSTANCES, loss=settings, normalisers=normalisers
    )
    inputs = (logits, boxes.astype(np.float32), *supervision.query_targets)
    _, by_layer = Criterion(settings).sum_query_losses(*map(Tensor, inputs))
    expected = dict(zip(QUERY_LOSSES, by_layer.asnumpy()[-1], strict=True))
    found = losses_by_clip(logits[-1], boxes[-1], supervision, gamma)
    for name, values in found.items():
        assert values.shape == (3,)
        assert values.sum() == pytest.approx(float(expected[name]), rel=1e-5)
    assert found["box"][2] == 0  # it shows no object
