"""The masks' first weights: what a network that starts from random weights needs to tell objects apart."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor

from tests.numeric import random
from vistr.layers.parameters import weights_rng
from vistr.models.masks import MaskHead, SequenceHead, SplitConv
from vistr.runtime.device import use_device

CHANNELS, HEADS, STAGES = 96, 8, [16, 32, 64]
HEIGHT, WIDTH = 12, 20


def maps_of_two_queries() -> Tensor:
    """One looks at the left half of a frame, one at the right: `[2, h, w, heads]`, each sums to 1."""
    attention = np.zeros((2, HEIGHT, WIDTH, HEADS), np.float32)
    attention[0, :, : WIDTH // 2] = attention[1, :, WIDTH // 2 :] = 2 / (HEIGHT * WIDTH * HEADS)
    return Tensor(attention)


def difference_of_two_queries(attention_gain: float | None) -> float:
    """How far their features lie apart, as a share of the features' own size."""
    use_device("cpu")
    weights_rng.seed(1)
    head = MaskHead(CHANNELS, HEADS, STAGES)
    if attention_gain is not None:
        weights_rng.seed(2)
        head.lay1 = SplitConv(CHANNELS, HEADS, attention_gain)
    maps = [Tensor(random(s, 1, HEIGHT * s, WIDTH * s, c)) for s, c in zip((4, 2, 1), STAGES, strict=True)]
    adapted = head.adapt(*maps)
    shared = head.lay1.of_frame(Tensor(random(9, 1, HEIGHT, WIDTH, CHANNELS)))
    out = head(maps_of_two_queries(), (shared, *adapted), Tensor([0, 0], ms.int32)).asnumpy()
    return float(np.abs(out[0] - out[1]).mean() / np.abs(out).mean())


def test_where_a_query_looks_is_seen_in_its_mask_from_the_start() -> None:
    assert difference_of_two_queries(None) > 0.05
    assert difference_of_two_queries(1.0) < 0.002  # as the layer's own rule would have it


def test_masks_start_as_background_with_logits_of_several_units() -> None:
    use_device("cpu")
    weights_rng.seed(1)
    logits = SequenceHead(24)(Tensor(np.abs(random(3, 2, 3, HEIGHT, WIDTH, 24)))).asnumpy()
    assert (logits < 0).mean() > 0.6
    assert logits.std() > 1
