"""Multi-head attention against its formula."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor
from scipy.special import softmax

from tests.numeric import assert_like, random
from vistr.layers.attention import MultiHeadAttention
from vistr.runtime import backend

pytestmark = pytest.mark.usefixtures("cpu")

QUERY, KEY, VALUE = random(0, 2, 3, 8), random(1, 2, 5, 8), random(2, 2, 5, 8)
MASKED = np.zeros((2, 5), np.float32)
MASKED[0, 3:] = MASKED[1, 0] = -1e9


@pytest.fixture(params=["gather", "gpu"])
def layer(request: pytest.FixtureRequest) -> MultiHeadAttention:
    backend.use(request.param)
    attention = MultiHeadAttention(8, 2, site=0)
    for seed, parameter in enumerate(attention.get_parameters()):
        parameter.set_data(Tensor(random(10 + seed, *parameter.shape)))
    return attention


@pytest.mark.parametrize("key_padding_mask", [None, MASKED], ids=["all keys", "masked keys"])
def test_heads_attend_to_the_keys_they_may_see(layer: MultiHeadAttention, key_padding_mask: np.ndarray | None) -> None:
    weights = layer.in_proj_weight.asnumpy().astype(np.float64).reshape(3, 8, 8)
    biases = layer.in_proj_bias.asnumpy().reshape(3, 8)
    out_weight, out_bias = layer.out_proj.weight.asnumpy(), layer.out_proj.bias.asnumpy()
    mask = None if key_padding_mask is None else Tensor(key_padding_mask)

    def reference(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
        q, k, v = (x @ w.T + b for x, w, b in zip((query, key, value), weights, biases, strict=True))
        heads = []
        for head in (slice(0, 4), slice(4, 8)):
            scores = q[..., head] @ k[..., head].swapaxes(1, 2) / 2
            if key_padding_mask is not None:
                scores = np.where(key_padding_mask[:, None, :] < 0, -np.inf, scores)
            heads.append(softmax(scores, -1) @ v[..., head])
        return np.asarray(np.concatenate(heads, -1) @ out_weight.T + out_bias)

    assert_like(lambda q, k, v: layer(q, k, v, mask, None), reference, QUERY, KEY, VALUE)


def test_what_a_blocked_key_holds_does_not_matter(layer: MultiHeadAttention) -> None:
    outputs = []
    for filling in (0, 50):
        key, value = (np.where(MASKED[..., None] < 0, np.float32(filling), x) for x in (KEY, VALUE))
        outputs.append(layer(Tensor(QUERY), Tensor(key), Tensor(value), Tensor(MASKED), None).asnumpy())
    np.testing.assert_array_equal(*outputs)
