"""Two-dimensional convolutions: both backends, and the fold of frozen BatchNorm."""

from __future__ import annotations

from collections.abc import Callable

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from tests.numeric import assert_like, random, values_and_gradients
from vistr.layers.conv import Conv2d, ConvNorm, FrozenBatchNorm, convolution
from vistr.runtime import backend
from vistr.runtime.backend import Backend

pytestmark = pytest.mark.usefixtures("cpu")

GEOMETRIES = {
    "3x3": (3, 1, 1, 1),
    "3x3 with stride 2": (3, 2, 1, 1),
    "7x7 with stride 2": (7, 2, 3, 1),
    "1x1 with stride 2": (1, 2, 0, 1),
    "3x3 with dilation 2": (3, 1, 2, 2),
}


def kernel(*geometry: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The current backend's convolution without padding."""
    layer = convolution(*geometry)

    def run(x: Tensor, weight: Tensor) -> Tensor:
        return layer(x, weight, None)

    return run


def plain_convolution(kernel: int, stride: int, padding: int, dilation: int) -> Callable[..., np.ndarray]:
    """`(x [N, H, W, I], weight [O, k, k, I]) -> [N, Ho, Wo, O]` tap by tap."""

    def convolve(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        reach = dilation * (kernel - 1)
        total = 0.0
        for dy in range(kernel):
            for dx in range(kernel):
                window = padded[:, dy * dilation :, dx * dilation :]
                window = window[:, : padded.shape[1] - reach : stride, : padded.shape[2] - reach : stride]
                total = total + window @ weight[:, dy, dx].T
        return np.asarray(total)

    return convolve


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_gathering_is_convolution(geometry: tuple[int, int, int, int]) -> None:
    x, weight = random(0, 2, 9, 8, 3), random(1, 4, geometry[0], geometry[0], 3)
    assert_like(kernel(*geometry), plain_convolution(*geometry), x, weight)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_both_backends_give_the_same_numbers_and_gradients(geometry: tuple[int, int, int, int]) -> None:
    x, weight = random(0, 2, 9, 8, 3), random(1, 4, geometry[0], geometry[0], 3)
    gathered, gathered_gradients = values_and_gradients(kernel(*geometry), x, weight)
    backend.use("native")
    native, native_gradients = values_and_gradients(kernel(*geometry), x, weight)
    np.testing.assert_allclose(gathered, native, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(gathered_gradients, native_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_pointwise_convolution_is_a_matrix_product() -> None:
    conv = Conv2d(5, 3)
    conv.bias.set_data(Tensor(random(1, 3)))  # type: ignore[union-attr]
    weight, bias = conv.weight.asnumpy().reshape(3, 5), random(1, 3)
    assert_like(conv, lambda x: x @ weight.T + bias, random(0, 2, 3, 4, 5))


@pytest.mark.parametrize("kernels", ["gather", "gpu"])
@pytest.mark.parametrize("size", [(7, 6), (3, 2)], ids=["in the weights", "in the output"])
def test_a_frozen_norm_is_folded_into_its_convolution(kernels: Backend, size: tuple[int, int]) -> None:
    backend.use(kernels)
    layer = ConvNorm(5, 4, 3, stride=2)
    norm = {"weight": random(1, 4), "bias": random(2, 4), "running_mean": random(3, 4)}
    norm["running_var"] = abs(random(4, 4)) + 0.5
    for name, value in norm.items():
        getattr(layer.norm, name).set_data(Tensor(value))

    def reference(x: np.ndarray) -> np.ndarray:
        out = plain_convolution(3, 2, 1, 1)(x, layer.weight.asnumpy().astype(np.float64))
        standardised = (out - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
        return np.asarray(standardised * norm["weight"] + norm["bias"])

    assert_like(layer, reference, random(0, 2, *size, 5))
    assert [p.name for p in layer.trainable_params()] == ["weight"]


@pytest.mark.parametrize("kernels", ["gather", "gpu"])
@pytest.mark.parametrize("padded", [False, True])
def test_statistics_are_those_of_the_pictures(kernels: Backend, padded: bool) -> None:
    backend.use(kernels)
    norm, x = FrozenBatchNorm(5), 3 + 2 * random(0, 3, 4, 6, 5)
    inside = np.ones((3, 4, 6), np.float32)
    inside[1:, 3:], inside[1:, :, 4:] = 0, 0
    norm.calibrate(Tensor(x), Tensor(inside) if padded else None)
    rows = x[inside > 0] if padded else x.reshape(-1, 5)
    np.testing.assert_allclose(norm.running_mean.asnumpy(), rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.running_var.asnumpy(), rows.var(0), rtol=1e-5)


@pytest.mark.parametrize("kernels", ["gather", "native"])
def test_a_hidden_convolution_of_three_channels_has_a_gradient(kernels: Backend) -> None:
    backend.use(kernels)
    layer = ConvNorm(3, 4, 3)
    gradient = ms.grad(lambda x: layer(x).sum())(Tensor(random(0, 1, 5, 6, 3))).asnumpy()
    assert (gradient != 0).all()
