"""Convolution over the frames of a sequence, on both backends."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from tests.numeric import assert_like, random
from vistr.layers.conv3d import SequenceConv
from vistr.runtime import backend

pytestmark = pytest.mark.usefixtures("cpu")


def with_weights(layer: SequenceConv) -> SequenceConv:
    layer.weight.set_data(Tensor(random(1, *layer.weight.shape)))
    layer.bias.set_data(Tensor(random(2, *layer.bias.shape)))
    return layer


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("num_frames", [1, 5])
def test_frames_are_convolved_like_rows_and_columns(dilation: int, num_frames: int) -> None:
    layer = with_weights(SequenceConv(3, 2, dilation))
    weight, bias = layer.weight.asnumpy().astype(np.float64), layer.bias.asnumpy()

    def reference(x: np.ndarray) -> np.ndarray:
        _, t, h, w, _ = x.shape
        padded = np.pad(x, ((0, 0), *((dilation, dilation),) * 3, (0, 0)))
        total = np.zeros((*x.shape[:-1], 2))
        for a, b, c in np.ndindex(3, 3, 3):
            window = padded[:, a * dilation :, b * dilation :, c * dilation :][:, :t, :h, :w]
            total += window @ weight[:, a, b, c].T
        return np.asarray(total + bias)

    assert_like(layer, reference, random(0, 2, num_frames, 4, 5, 3))


def test_both_backends_give_the_same_numbers_and_gradients() -> None:
    x, weights = Tensor(random(0, 2, 4, 5, 4, 3)), Tensor(random(3, 2, 4, 5, 4, 2))
    results = []
    for name in ("gather", "native"):
        backend.use(name)
        layer = with_weights(SequenceConv(3, 2, 2))

        def weighted(x: Tensor, layer: SequenceConv = layer) -> Tensor:
            return (layer(x) * weights).sum()

        dx, (dweight, dbias) = ms.grad(weighted, 0, layer.trainable_params())(x)
        results.append([layer(x).asnumpy(), dx.asnumpy(), dweight.asnumpy(), dbias.asnumpy()])
    for gathered, native in zip(*results, strict=True):
        np.testing.assert_allclose(gathered, native, rtol=1e-4, atol=1e-4)
