"""AdamW against its formula, and the schedule of its rates."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Parameter, Tensor

from tests.numeric import random
from vistr.runtime import backend
from vistr.training.optimizer import AdamW
from vistr.training.settings import Optimizer

pytestmark = pytest.mark.usefixtures("cpu")

SHAPES = {"detector.backbone.conv1.weight": (3, 2, 2, 4), "detector.class_embed.weight": (5, 4), "bias": (7,)}
RATES = {"detector.backbone.conv1.weight": 1e-3, "detector.class_embed.weight": 1e-2, "bias": 1e-2}
DECAY, CLIP = 0.1, 0.5


def parameters() -> list[Parameter]:
    return [Parameter(Tensor(random(i, *shape)), name=name) for i, (name, shape) in enumerate(SHAPES.items())]


def gradients(update: int) -> list[np.ndarray]:
    """The first update's are below the clipping norm, the others far above."""
    scale = np.float32(0.01 if update == 0 else 3)
    return [scale * random(10 * update + i + 50, *shape) for i, shape in enumerate(SHAPES.values())]


def by_formula(num_updates: int) -> tuple[list[np.ndarray], list[float]]:
    """Parameters after the updates, and every update's gradient norm, in float64."""
    values = [p.asnumpy().astype(np.float64) for p in parameters()]
    first = [np.zeros_like(v) for v in values]
    second = [np.zeros_like(v) for v in values]
    norms = []
    for update in range(num_updates):
        raw = gradients(update)
        norms.append(float(np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in raw))))
        for i, rate in enumerate(RATES.values()):
            gradient = raw[i] * min(1, CLIP / norms[-1])
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient**2
            corrected = first[i] / (1 - 0.9 ** (update + 1)), second[i] / (1 - 0.999 ** (update + 1))
            values[i] *= 1 - rate * DECAY
            values[i] -= rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    return values, norms


def step(optimizer: AdamW, update: int) -> float:
    tensors = [Tensor(g) for g in gradients(update)]
    return optimizer.step(tensors, (1e-3, 1e-2))


def assert_values(variables: list[Parameter], expected: list[np.ndarray]) -> None:
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.asnumpy(), value, rtol=0, atol=2e-6, err_msg=variable.name)


@pytest.fixture
def variables() -> list[Parameter]:
    return parameters()


@pytest.fixture
def optimizer(variables: list[Parameter]) -> AdamW:
    return AdamW(variables, Optimizer(weight_decay=DECAY, clip_norm=CLIP))


def test_three_updates_follow_the_formula(variables: list[Parameter], optimizer: AdamW) -> None:
    for update in range(3):
        expected, norms = by_formula(update + 1)
        assert step(optimizer, update) == pytest.approx(norms[-1], rel=1e-5)
        assert_values(variables, expected)
    assert norms[0] < CLIP < norms[1]


def test_a_deformable_encoders_offsets_learn_at_a_tenth_of_the_rate() -> None:
    layer = "detector.transformer.encoder.layers.0.self_attn."
    names = [layer + name for name in ("sampling_offsets.bias", "temporal_sampling_offsets.weight", "value_proj.bias")]
    moved, whole = [], Optimizer(offsets_rate_factor=1.0)
    for settings, rate in ((Optimizer(), 1e-2), (whole, 1e-3), (whole, 1e-2)):
        variables = [Parameter(Tensor(random(0, 4)), name=name) for name in names]
        AdamW(variables, settings).step([Tensor(random(1, 4))] * 3, (1e-5, rate))
        moved.append([variable.asnumpy() for variable in variables])
    found, slow, fast = moved
    for ours, expected in zip(found, (slow[0], slow[1], fast[2]), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_group_by_group_is_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vistr.training.optimizer.GROUP_SIZE", 1)
    variables = parameters()
    optimizer = AdamW(variables, Optimizer(weight_decay=DECAY, clip_norm=CLIP))
    assert len(optimizer.groups) == len(variables)
    expected, norms = by_formula(1)
    assert step(optimizer, 0) == pytest.approx(norms[-1], rel=1e-5)
    assert_values(variables, expected)


def test_a_state_that_is_loaded_goes_on_as_if_nothing_had_happened(
    variables: list[Parameter], optimizer: AdamW
) -> None:
    for update in range(2):
        step(optimizer, update)
    copies = [Parameter(p.value().copy(), name=p.name) for p in variables]
    successor = AdamW(copies, Optimizer(weight_decay=DECAY, clip_norm=CLIP))
    successor.load_state(optimizer.state())
    step(successor, 2)
    assert_values(copies, by_formula(3)[0])


def test_without_a_clipping_norm_gradients_stay_as_they_are(variables: list[Parameter]) -> None:
    # Adam's first update is the rate times the sign of the gradient, so two show a difference in scale.
    unclipped = AdamW(variables, Optimizer(weight_decay=0, clip_norm=0))
    step(unclipped, 0)
    step(unclipped, 1)
    first = unclipped.groups[0].first[2].asnumpy()
    np.testing.assert_allclose(first, 0.09 * gradients(0)[2] + 0.1 * gradients(1)[2], rtol=1e-4, atol=1e-6)


def test_scaled_gradients_update_as_plain_ones_do(variables: list[Parameter], optimizer: AdamW) -> None:
    for update in range(3):
        expected, norms = by_formula(update + 1)
        norm = optimizer.step([Tensor(1024 * g) for g in gradients(update)], (1e-3, 1e-2), 1024.0)
        assert norm == pytest.approx(norms[-1], rel=1e-5)
        assert_values(variables, expected)


def test_gradients_that_are_not_finite_update_nothing(variables: list[Parameter], optimizer: AdamW) -> None:
    step(optimizer, 0)
    before = [v.asnumpy() for v in variables]
    spoiled = gradients(1)
    spoiled[0].flat[3] = np.inf
    assert not np.isfinite(optimizer.step([Tensor(g) for g in spoiled], (1e-3, 1e-2)))
    assert optimizer.num_updates == 1
    assert_values(variables, before)


def test_the_norm_that_a_gpu_computes_is_the_same(variables: list[Parameter]) -> None:
    backend.use("gpu")
    optimizer = AdamW(variables, Optimizer(weight_decay=DECAY, clip_norm=CLIP))
    assert step(optimizer, 1) == pytest.approx(by_formula(2)[1][1], rel=1e-6)


def test_norms_and_bias_tables_of_a_backbone_that_says_so_do_not_decay() -> None:
    names = ("detector.backbone.layers.0.norm1.weight", "detector.backbone.qkv.weight", "detector.norm.weight")
    variables = [Parameter(Tensor(random(i, 4)), name=name) for i, name in enumerate(names)]
    before = [p.asnumpy().copy() for p in variables]
    optimizer = AdamW(variables, Optimizer(weight_decay=DECAY, clip_norm=CLIP), no_decay=("norm", "table"))
    optimizer.step([Tensor(np.zeros(4, np.float32)) for _ in names], (1e-3, 1e-2))
    for variable, old, kept in zip(variables, before, (1, 1 - 1e-3 * DECAY, 1 - 1e-2 * DECAY), strict=True):
        np.testing.assert_allclose(variable.asnumpy(), old * kept, rtol=1e-6, err_msg=variable.name)
