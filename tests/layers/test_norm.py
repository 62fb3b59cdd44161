"""Normalisation over channels-last tensors."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor

from tests.numeric import assert_like, random
from vistr.layers.norm import GroupNorm, LayerNorm

pytestmark = pytest.mark.usefixtures("cpu")


@pytest.mark.parametrize(("asked", "channels", "groups"), [(4, 8, 4), (8, 8, 8), (8, 12, 4), (4, 3, 1)], ids=str)
def test_groups_are_normalised_over_pixels_and_their_channels(asked: int, channels: int, groups: int) -> None:
    layer = GroupNorm(asked, channels)
    weight, bias = random(1, channels), random(2, channels)
    layer.weight.set_data(Tensor(weight))
    layer.bias.set_data(Tensor(bias))

    def reference(x: np.ndarray) -> np.ndarray:
        grouped = x.reshape(x.shape[0], -1, groups, channels // groups)
        centred = grouped - grouped.mean((1, 3), keepdims=True)
        out = centred / np.sqrt((centred**2).mean((1, 3), keepdims=True) + 1e-5)
        return np.asarray(out.reshape(x.shape) * weight + bias)

    assert_like(layer, reference, 3 + random(0, 2, 3, 4, 5, channels))


def test_the_last_axis_is_normalised() -> None:
    layer = LayerNorm(6)

    def reference(x: np.ndarray) -> np.ndarray:
        return np.asarray((x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5))

    assert_like(layer, reference, random(0, 2, 5, 6))
