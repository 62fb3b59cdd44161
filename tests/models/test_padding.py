"""A clip's results, losses and gradients depend neither on the size it is padded to nor on its neighbours."""

from __future__ import annotations

from typing import Any

import pytest

from tests import tiny
from tests.padded import BUCKET, SIZES, Answer, Size, clip, distance, distance_from_each_alone, smooth_relus, too_far
from vistr.config import Device
from vistr.losses.supervision import Normalisers, count_boxes
from vistr.models.backbones import Layout, add_resnet
from vistr.models.settings import Detr

add_resnet("tiny50", Layout((1, 1, 1, 1), bottleneck=True))
SMALL: dict[str, tuple[dict[str, Any], list[Size]]] = {
    "basic blocks, dilated head": ({}, SIZES),
    "windows": ({"name": "tiny_swin"}, SIZES[1:]),
    "bottlenecks, dilated backbone, dense head": (
        {"name": "tiny50", "dilation": True, "sequence_head": "dense"},
        SIZES[1:],
    ),
    "DETR's transformer and mask head": ({"kind": Detr}, SIZES[1:]),
}
# The paper's widths, with fewer layers of the transformer.
WIDE = {"hidden_dim": 384, "num_heads": 8, "feedforward_dim": 2048}
WHOLE: dict[str, dict[str, Any]] = {
    "ResNet-101, dilated head": {"name": "r101", **WIDE},
    "ResNet-50, dilated backbone, dense head": {"name": "r50", "dilation": True, "sequence_head": "dense", **WIDE},
}


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "sizes"), SMALL.values(), ids=SMALL)
def test_clips_of_several_sizes_in_one_batch_are_as_each_alone(changes: dict[str, Any], sizes: list[Size]) -> None:
    assert too_far(distance_from_each_alone(changes, sizes), 1e-3) == {}


@pytest.mark.slow
@pytest.mark.parametrize("changes", WHOLE.values(), ids=WHOLE)
def test_whole_networks_see_no_padding(changes: dict[str, Any]) -> None:
    step = tiny.eager(tiny.training_step(tiny.eager(tiny.model(**changes))))
    # Padded by 31 pixels, which is 100 % of the height, and by 1.
    size, bucket = (31, 48), (62, 49)
    plain = clip(0, size, size)
    normalisers = Normalisers(count_boxes(plain.targets), 20.0)
    with smooth_relus():
        padded, alone = (Answer(step, some, normalisers) for some in (clip(0, size, bucket), plain))
    assert too_far(distance(padded, [alone]), 5e-4) == {}


@pytest.mark.slow
def test_half_precision_is_no_further_from_itself_by_padding_than_from_single_precision() -> None:
    steps = {
        precision: tiny.eager(
            tiny.training_step(tiny.eager(tiny.model(device=Device(target="cpu", precision=precision))))
        )
        for precision in ("fp32", "fp16")
    }
    size, scale = SIZES[1], 128.0
    with smooth_relus():
        plain = clip(0, size, size)
        normalisers = Normalisers(count_boxes(plain.targets), 20.0)
        exact = Answer(steps["fp32"], plain, normalisers)
        alone = Answer(steps["fp16"], plain, normalisers, scale)
        padded = Answer(steps["fp16"], clip(0, size, BUCKET), normalisers, scale)
    by_half, by_padding = distance(alone, [exact]), distance(padded, [alone])
    assert by_half.whole_gradient < 0.05
    assert by_padding.whole_gradient < 2 * by_half.whole_gradient
    for name, most in by_half.outputs.items():
        assert by_padding.outputs[name] < 3 * most, name
