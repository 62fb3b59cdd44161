"""The deformable convolution against a loop over its taps."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from tests.numeric import assert_like, random, values_and_gradients
from vistr.layers.conv import convolution
from vistr.layers.deformable import DeformableConv, OffsetConv
from vistr.layers.tables import num_chunks

pytestmark = pytest.mark.usefixtures("cpu")

IMAGES, DY, DX = random(0, 3, 4, 5, 3), 1.5 * random(1, 3, 20, 9), 1.5 * random(2, 3, 20, 9)


@pytest.fixture
def layer() -> DeformableConv:
    return DeformableConv(3, 2)


def sample(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """A bilinear sample `[C]` of `[H, W, C]`, zero beyond the border."""
    top, left = int(np.floor(y)), int(np.floor(x))
    total = np.zeros(image.shape[-1])
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
            total += (1 - abs(y - row)) * (1 - abs(x - column)) * image[row, column]
    return total


def test_every_tap_reads_where_its_offset_points(layer: DeformableConv) -> None:
    weight = layer.weight.asnumpy().astype(np.float64)

    def reference(images: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
        out = np.zeros((3, 4, 5, 2))
        for i, y, x, row, column in np.ndindex(3, 4, 5, 3, 3):
            place = (i, y * 5 + x, row * 3 + column)
            sampled = sample(images[i], y + row - 1 + dy[place], x + column - 1 + dx[place])
            out[i, y, x] += weight[:, row, column] @ sampled
        return out

    assert_like(layer, reference, IMAGES, DY, DX)


def compiled_gradients(layer: DeformableConv, *arrays: np.ndarray) -> list[np.ndarray]:
    """As `values_and_gradients`, with the backward pass inside the compiled function, as training has it."""
    weights = Tensor(random(99, 3, 4, 5, 2))

    def weighted(x: Tensor, by_tap: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        return (layer.read(x, by_tap, dy, dx, None) * weights).sum()

    gradients = ms.grad(weighted, (0, 1, 2, 3))

    @ms.jit
    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(gradients(*inputs))

    return [g.asnumpy() for g in run(*(Tensor(a) for a in arrays))]


@pytest.mark.parametrize("rows", [20, 1000])
def test_its_own_gradients_are_those_of_its_operators(layer: DeformableConv, rows: int) -> None:
    inputs = (IMAGES, random(5, 18, 3), DY, DX)

    def plain(x: Tensor, by_tap: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        return layer.read.construct(x, by_tap, dy, dx, None)

    _, expected = values_and_gradients(plain, *inputs)
    layer.read.rows_a_chunk = rows
    for ours, theirs in zip(compiled_gradients(layer, *inputs), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_without_offsets_it_is_a_convolution(layer: DeformableConv) -> None:
    still = Tensor(np.zeros_like(DY))
    out = layer(Tensor(IMAGES), still, still)
    expected = convolution(3, 1, 1, 1)(Tensor(IMAGES), layer.weight, None)
    np.testing.assert_allclose(out.asnumpy(), expected.asnumpy(), atol=1e-5)


def test_taking_images_a_few_at_a_time_changes_nothing(layer: DeformableConv) -> None:
    whole = layer(Tensor(IMAGES), Tensor(DY), Tensor(DX)).asnumpy()
    layer.read.rows_a_chunk = 20
    np.testing.assert_allclose(layer(Tensor(IMAGES), Tensor(DY), Tensor(DX)).asnumpy(), whole, atol=1e-6)


def test_twice_as_many_images_go_together_in_half_precision(layer: DeformableConv) -> None:
    layer.read.rows_a_chunk = 40
    images = Tensor(np.zeros((8, 4, 5, 3), np.float32))
    assert [layer.read.count_chunks(x) for x in (images, images.astype(ms.float16))] == [4, 2]


def test_chunks_are_equal_and_as_few_as_fit() -> None:
    assert [num_chunks(36, 100, limit) for limit in (10_000, 3600, 3599, 1200, 1199, 100, 1)] == [1, 1, 2, 3, 4, 36, 36]
    assert num_chunks(7, 100, 500) == 7


def test_offsets_start_at_zero_and_alternate_between_dy_and_dx() -> None:
    layer = OffsetConv(3)
    assert not any(plane.asnumpy().any() for plane in layer(Tensor(IMAGES)))
    weight, bias = random(3, 18, 1, 1, 3), random(4, 18)
    layer.weight.set_data(Tensor(weight))
    layer.bias.set_data(Tensor(bias))  # type: ignore[union-attr]
    channels = (IMAGES @ weight.reshape(18, 3).T + bias).reshape(3, 20, 9, 2)
    for plane, expected in zip(layer(Tensor(IMAGES)), np.moveaxis(channels, -1, 0), strict=True):
        np.testing.assert_allclose(plane.asnumpy(), expected, atol=1e-5)
