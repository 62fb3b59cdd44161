"""Values and gradients of a layer, and what they should be by a plain NumPy function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor

STEP = 1e-6


def random(seed: int, *shape: int) -> np.ndarray:
    """Standard normal float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def values_and_gradients(layer: Callable[..., Tensor], *arrays: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The layer's output, and the gradients of its weighted sum with respect to every input."""
    out = layer(*(Tensor(a) for a in arrays)).asnumpy()
    weights = Tensor(random(99, *out.shape))

    def weighted(*inputs: Tensor) -> Tensor:
        return (layer(*inputs) * weights).sum()

    gradients = ms.grad(weighted, tuple(range(len(arrays))))(*(Tensor(a) for a in arrays))
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    return out, [g.asnumpy() for g in gradients]


def assert_like(
    layer: Callable[..., Tensor], reference: Callable[..., Any], *arrays: np.ndarray, tolerance: float = 1e-4
) -> None:
    """The layer has the reference's values and, along a random direction of every input, its slope.

    The reference is evaluated in float64, its slopes by central differences.
    """
    out, gradients = values_and_gradients(layer, *arrays)
    exact = [a.astype(np.float64) for a in arrays]
    np.testing.assert_allclose(out, reference(*exact), rtol=tolerance, atol=tolerance)
    weights = random(99, *out.shape)
    for i, gradient in enumerate(gradients):
        direction = random(100 + i, *arrays[i].shape)
        ahead, behind = list(exact), list(exact)
        ahead[i], behind[i] = exact[i] + STEP * direction, exact[i] - STEP * direction
        slope = ((reference(*ahead) - reference(*behind)) * weights).sum() / (2 * STEP)
        scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert abs((gradient * direction).sum() - slope) < tolerance * scale, f"gradient of input {i}"
