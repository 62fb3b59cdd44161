"""Every layer that reads more than one position takes a picture with padding for the picture alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from tests.numeric import random
from vistr.layers.conv import Conv2d, ConvNorm
from vistr.layers.conv3d import SequenceConv
from vistr.layers.deformable import DeformableConv
from vistr.layers.norm import GroupNorm
from vistr.layers.padding import inside_of, sizes_at
from vistr.layers.resize import resize_bilinear, resize_nearest
from vistr.losses.criterion import mask_losses, weighted_sum
from vistr.models.resnet import MaxPool
from vistr.runtime import backend
from vistr.runtime.backend import Backend

pytestmark = pytest.mark.usefixtures("cpu")

SIZES = [(5, 8), (9, 6)]
HEIGHT, WIDTH = 11, 10
Run = Callable[[Tensor, Tensor | None], Tensor]
BACKENDS: list[Backend] = ["gather", "native"]
SUMS: list[Backend] = ["gather", "gpu"]


def inside(x: Tensor, sizes: Tensor | None) -> Tensor | None:
    """Where the pictures are in `x [n, h, w, C]`."""
    return inside_of(sizes, x.shape[1], x.shape[2])


def assert_blind(
    run: Run, parameters: Sequence[Parameter], channels: int, scale: float = 1.0, frames: int | None = None
) -> None:
    """Values and gradients of pictures in padding that holds anything are those of each picture alone.

    The output is `scale` times as large as the input. With `frames` every picture is a sequence of as many.
    """
    lead = () if frames is None else (frames,)
    pictures = [np.abs(random(i, 1, *lead, *size, channels)) for i, size in enumerate(SIZES)]
    padded = random(9, len(SIZES), *lead, HEIGHT, WIDTH, channels)
    for i, (height, width) in enumerate(SIZES):
        padded[i, ..., :height, :width, :] = pictures[i][0]
    together, dx, dweights = gradients(run, parameters, padded, Tensor(np.float32(SIZES)), scale)
    total: list[np.ndarray] = []
    for i, (height, width) in enumerate(SIZES):
        alone, dalone, dparameters = gradients(run, parameters, pictures[i], None, scale)
        top, left = alone.shape[-3:-1]
        np.testing.assert_allclose(together[i, ..., :top, :left, :], alone[0], atol=1e-5)
        np.testing.assert_allclose(dx[i, ..., :height, :width, :], dalone[0], atol=1e-5)
        dx[i, ..., :height, :width, :] = 0
        total = [a + b for a, b in zip(total, dparameters, strict=True)] if total else dparameters
    assert not dx.any(), "gradient at padding"
    for ours, theirs in zip(dweights, total, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def gradients(
    run: Run, parameters: Sequence[Parameter], x: np.ndarray, sizes: Tensor | None, scale: float
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """The output, and the gradients of its sum with weights that no other layer gives to padding."""
    out = run(Tensor(x), sizes).asnumpy()
    weights = np.zeros_like(out)
    for i, (height, width) in enumerate(SIZES if sizes is not None else [(x.shape[-3], x.shape[-2])]):
        top, left = int(np.ceil(height * scale)), int(np.ceil(width * scale))
        chosen = random(height * width, *out.shape[1:-3], HEIGHT * 4, WIDTH * 4, out.shape[-1])
        weights[i, ..., :top, :left, :] = chosen[..., :top, :left, :]

    def weighted(x: Tensor) -> Tensor:
        return (run(x, sizes) * Tensor(weights)).sum()

    if not parameters:
        return out, ms.grad(weighted)(Tensor(x)).asnumpy(), []
    dx, dparameters = ms.grad(weighted, 0, ms.ParameterTuple(parameters))(Tensor(x))
    return out, dx.asnumpy(), [d.asnumpy() for d in dparameters]


@pytest.mark.parametrize("kernels", BACKENDS)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (3, 1, 2), (7, 2, 1), (1, 2, 1)])
def test_convolutions(kernels: Backend, kernel: int, stride: int, dilation: int) -> None:
    backend.use(kernels)
    layer = ConvNorm(4, 5, kernel, stride, dilation)
    assert_blind(lambda x, sizes: layer(x, inside(x, sizes)), layer.trainable_params(), 4, 1 / stride)


def test_convolutions_with_bias() -> None:
    layer = Conv2d(4, 5, 3)
    assert_blind(lambda x, sizes: layer(x, inside(x, sizes)), layer.trainable_params(), 4)


@pytest.mark.parametrize("kernels", BACKENDS)
@pytest.mark.parametrize(("dilation", "kernel"), [(2, 3), (1, 5)])
def test_convolutions_over_a_sequence(kernels: Backend, dilation: int, kernel: int) -> None:
    backend.use(kernels)
    layer = SequenceConv(4, 3, dilation, kernel)

    def run(x: Tensor, sizes: Tensor | None) -> Tensor:
        return layer(x, repeated(inside(x[:, 0], sizes), 3))

    assert_blind(run, layer.trainable_params(), 4, frames=3)


@pytest.mark.parametrize("kernels", SUMS)
def test_group_normalisation(kernels: Backend) -> None:
    backend.use(kernels)
    layer = GroupNorm(2, 4)
    layer.weight.set_data(Tensor(random(1, 4)))
    assert_blind(lambda x, sizes: layer(x, inside(x, sizes)), layer.trainable_params(), 4)
    assert_blind(lambda x, sizes: layer(x, repeated(inside(x[:, 0], sizes), 3)), layer.trainable_params(), 4, frames=3)


def repeated(of_sequences: Tensor | None, frames: int) -> Tensor | None:
    """What is inside of every frame of sequences that are alike throughout."""
    return None if of_sequences is None else Tensor(np.repeat(of_sequences.asnumpy(), frames, 0))


def test_max_pooling() -> None:
    assert_blind(lambda x, sizes: MaxPool()(x, inside(x, sizes)), [], 3, 1 / 2)


@pytest.mark.parametrize("scale", [2, 1.7])
def test_nearest_and_bilinear_resizes(scale: float) -> None:
    def new_sizes(sizes: Tensor | None) -> Tensor | None:
        return None if sizes is None else Tensor(np.ceil(sizes.asnumpy() * scale).astype(np.float32))

    def target(x: Tensor) -> tuple[int, int]:
        return int(np.ceil(x.shape[1] * scale)), int(np.ceil(x.shape[2] * scale))

    def bilinear(x: Tensor, sizes: Tensor | None) -> Tensor:
        maps = x.transpose(0, 3, 1, 2).reshape(-1, x.shape[1], x.shape[2])
        out = resize_bilinear(maps, *target(x), sizes, new_sizes(sizes))
        return out.reshape(x.shape[0], x.shape[3], *target(x)).transpose(0, 2, 3, 1)

    assert_blind(lambda x, sizes: resize_nearest(x, *target(x), sizes, new_sizes(sizes)), [], 3, scale)
    assert_blind(bilinear, [], 3, scale)


@pytest.mark.parametrize("kernels", SUMS)
def test_deformable_reading(kernels: Backend) -> None:
    backend.use(kernels)
    layer = DeformableConv(4, 3)
    # Far offsets, so that many taps read beyond the pictures; each position's own, whatever is around it.
    offsets = 3 * random(5, 2, HEIGHT, WIDTH, 9)

    def run(x: Tensor, sizes: Tensor | None) -> Tensor:
        n, h, w, _ = x.shape
        dy, dx = (Tensor(np.repeat(o[None, :h, :w], n, 0).reshape(n, -1, 9)) for o in offsets)
        return layer(x, dy, dx, sizes)

    assert_blind(run, layer.trainable_params(), 4)


@pytest.mark.parametrize("kernels", SUMS)
def test_offsets_of_deformable_reading_have_the_pictures_gradients(kernels: Backend) -> None:
    backend.use(kernels)
    layer, n = DeformableConv(4, 3), len(SIZES)
    x, weights = random(0, n, HEIGHT, WIDTH, 4), random(1, n, HEIGHT, WIDTH, 3)
    dy, dx = 3 * random(5, 2, n, HEIGHT, WIDTH, 9)

    def slopes(some: slice, height: int, width: int, sizes: Tensor | None) -> list[np.ndarray]:
        def weighted(dy: Tensor, dx: Tensor) -> Tensor:
            out = layer(Tensor(x[some, :height, :width]), dy, dx, sizes)
            return (out * Tensor(weights[some, :height, :width])).sum()

        offsets = (Tensor(o[some, :height, :width].reshape(-1, height * width, 9)) for o in (dy, dx))
        return [g.asnumpy().reshape(-1, height, width, 9) for g in ms.grad(weighted, (0, 1))(*offsets)]

    together = slopes(slice(None), HEIGHT, WIDTH, Tensor(np.float32(SIZES)))
    for i, (height, width) in enumerate(SIZES):
        for ours, alone in zip(together, slopes(slice(i, i + 1), height, width, None), strict=True):
            np.testing.assert_allclose(ours[i, :height, :width], alone[0], atol=1e-5)


def test_mask_losses() -> None:
    sizes, frames = [(17, 30), (35, 21)], 2
    masks = random(0, 2, frames, 10, 9)
    truth = (random(1, 2, frames, 40, 36) > 0).astype(np.uint8)

    def losses(x: Tensor, truth: np.ndarray, sizes: Tensor | None) -> tuple[Any, np.ndarray]:
        def total(x: Tensor) -> tuple[Tensor, ...]:
            parts = mask_losses(x, Tensor(truth), sizes)
            return weighted_sum(parts, tuple(range(1, 1 + len(parts)))).sum(), *parts

        (_, *parts), gradient = ms.value_and_grad(total, has_aux=True)(x)
        return [part.asnumpy() for part in parts], gradient.asnumpy()

    together, gradient = losses(Tensor(masks), truth, Tensor(np.float32(sizes)))
    for i, (height, width) in enumerate(sizes):
        top, left = -(-height // 4), -(-width // 4)
        alone, expected = losses(Tensor(masks[i : i + 1, :, :top, :left]), truth[i : i + 1, :, :height, :width], None)
        for ours, theirs in zip(together, alone, strict=True):
            np.testing.assert_allclose(ours[i], theirs[0], rtol=1e-5)
        np.testing.assert_allclose(gradient[i, :, :top, :left], expected[0], atol=1e-7, rtol=1e-4)
        gradient[i, :, :top, :left] = 0
    assert not gradient.any()


def test_sizes_of_maps_are_those_of_convolutions() -> None:
    sizes = np.arange(1, 200, dtype=np.float32).reshape(-1, 1).repeat(2, 1)
    for stride in (2, 4, 8, 16, 32):
        expected = sizes
        for _ in range(int(np.log2(stride))):
            expected = (expected - 1) // 2 + 1
        found = sizes_at(Tensor(sizes), stride)
        assert found is not None
        np.testing.assert_array_equal(found.asnumpy(), expected)
