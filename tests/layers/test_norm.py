"""Normalisation over channels-last tensors."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from tests.numeric import assert_like, random
from vistr.layers.norm import GroupNorm, LayerNorm
from vistr.runtime import backend
from vistr.runtime.backend import Backend

pytestmark = pytest.mark.usefixtures("cpu")


@pytest.mark.parametrize(("asked", "channels", "groups"), [(4, 8, 4), (8, 8, 8), (8, 12, 4), (4, 3, 1)], ids=str)
@pytest.mark.parametrize("kernels", ["gather", "gpu"])
def test_groups_are_normalised_over_pixels_and_their_channels(
    kernels: Backend, asked: int, channels: int, groups: int
) -> None:
    backend.use(kernels)
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


def test_samples_of_more_than_65535_pixels_are_normalised() -> None:
    # A division by so large an integer made the means float64, and the network failed at the paper's clip size.
    layer = GroupNorm(2, 4)
    x = random(0, 1, 70_000, 4)
    out = ms.jit(layer)(Tensor(x)).asnumpy()
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.reshape(-1, 2, 2).mean((0, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(out.reshape(-1, 2, 2).std((0, 2)), 1, atol=1e-3)
