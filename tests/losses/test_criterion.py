"""The criterion alone: the original's match, losses and gradients, and the mask losses' formulas."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops
from scipy.special import softmax

import vistr.losses.criterion
from tests import reference
from tests.numeric import random
from vistr.losses.criterion import (
    LOSSES,
    MASK_LOSSES,
    Criterion,
    mask_losses,
    named_losses,
    negative_log_likelihood,
    weighted_sum,
)
from vistr.losses.settings import Loss
from vistr.losses.supervision import Normalisers, Supervision, count_boxes, supervise
from vistr.training.step import matching_errors

pytestmark = pytest.mark.usefixtures("cpu")

NUM_INSTANCES = 10


@pytest.mark.parametrize("case", ["criterion_a", "criterion_b"])
def test_the_original_criterion(case: str) -> None:
    numbers, arrays = reference.expected(case)
    num_frames = numbers["num_frames"]
    truth = reference.targets_of(arrays, num_frames)
    logits, boxes = arrays["pred_logits"][None], arrays["pred_boxes"][None]
    supervision, (match,) = supervise(
        logits,
        boxes,
        [truth],
        num_instances=NUM_INSTANCES,
        loss=Loss(),
        normalisers=Normalisers(count_boxes([truth]), None),
    )
    pairs = {
        (frame * NUM_INSTANCES + slot, instance * num_frames + frame)
        for slot, instance in zip(match.slots, match.objects, strict=True)
        for frame in np.flatnonzero(truth.valid[instance])
    }
    assert pairs == set(zip(arrays["query_index"], arrays["target_index"], strict=True))

    inputs = (logits, boxes, arrays["pred_masks"][0])
    (total, by_layer, of_masks), gradients = losses_and_gradients(inputs, supervision)
    ours = named_losses(np.append(total, by_layer), np.append(0, of_masks))
    ours |= matching_errors(logits[0], supervision.classes[0], [truth])
    theirs = dict(zip(("ce", "bbox", "giou", "mask", "dice"), ("class", "box", "giou", "mask", "dice"), strict=True))
    assert ours["loss"] == pytest.approx(numbers["loss"], rel=1e-5)
    for name, value in numbers["losses"].items():
        word = name.removeprefix("loss_")
        assert ours[theirs.get(word, word)] == pytest.approx(value, rel=1e-5), name
    for name, gradient in zip(("logits", "boxes", "masks"), gradients, strict=True):
        expected = arrays[f"grad_{name}"].reshape(gradient.shape)
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5 * abs(expected).max(), err_msg=name)


def losses_and_gradients(
    inputs: tuple[np.ndarray, ...], supervision: Supervision
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The criterion's results and the total's gradients; of all masks, the matched sequences' are picked."""
    criterion, rows = Criterion(Loss()), supervision.query_rows
    query_targets, mask_targets = ([Tensor(a) for a in arrays] for arrays in (supervision[:4], supervision[6:]))

    def forward(logits: Tensor, boxes: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        picked = ops.gather(masks, Tensor(rows.reshape(-1)), 0).reshape(*rows.shape, *masks.shape[1:])
        total, by_layer = criterion.sum_query_losses(logits, boxes, *query_targets)
        total_of_masks, parts = criterion.sum_mask_losses(picked, *mask_targets)
        return total + total_of_masks, by_layer, parts

    results, gradients = ms.value_and_grad(forward, (0, 1, 2), has_aux=True)(*(Tensor(a) for a in inputs))
    return [r.asnumpy() for r in results], [g.asnumpy() for g in gradients]


@pytest.mark.parametrize("sums_natively", [False, True])
def test_focal_and_dice_losses_follow_their_formulas(sums_natively: bool) -> None:
    logits, truth = random(0, 2, 3, 4, 5), (random(1, 2, 3, 4, 5) > 0).astype(np.uint8)
    losses = mask_losses(Tensor(logits), Tensor(truth), sums_natively=sums_natively)
    focal, dice = (dict(zip(MASK_LOSSES, losses, strict=True))[name].asnumpy() for name in ("mask", "dice"))
    assert focal.shape == dice.shape == (2, 3)
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    of_truth = np.where(truth == 1, probability, 1 - probability)
    expected = -np.where(truth == 1, 0.25, 0.75) * (1 - of_truth) ** 2 * np.log(of_truth)
    np.testing.assert_allclose(focal, expected.mean((2, 3)), rtol=1e-5)
    overlap, size = (probability * truth).sum((2, 3)), (probability + truth).sum((2, 3))
    np.testing.assert_allclose(dice, 1 - (2 * overlap + 1) / (size + 1), rtol=1e-5)


@pytest.mark.parametrize("logit", [-300.0, 300.0])
def test_logits_far_out_give_finite_losses_and_gradients(logit: float) -> None:
    truth = Tensor(np.array([[[[0, 1], [1, 0]]]], np.uint8))

    def total(masks: Tensor) -> Tensor:
        return weighted_sum(mask_losses(masks, truth), (1.0,) * len(MASK_LOSSES)).sum()

    loss, gradient = ms.value_and_grad(total)(Tensor(np.full((1, 1, 2, 2), logit, np.float32)))
    assert np.isfinite(loss.asnumpy())
    assert np.isfinite(gradient.asnumpy()).all()


def test_cross_entropy_of_every_query() -> None:
    logits, classes = random(0, 2, 3, 5), np.array([[0, 4, 2], [1, 1, 3]], np.int32)
    expected = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, classes[..., None], -1)[..., 0]
    np.testing.assert_allclose(negative_log_likelihood(Tensor(logits), Tensor(classes)).asnumpy(), expected, rtol=1e-5)


def query_losses(settings: Loss, num_layers: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Total, parts by layer `[L, 3]` and the logits' gradient of seeded outputs and targets."""
    logits, boxes = random(0, num_layers, 1, 6, 5), 0.2 + 0.1 * np.abs(np.tanh(random(1, num_layers, 1, 6, 4)))
    classes = np.tile(np.array([4, 1, 4, 2, 4, 3], np.int32), (num_layers, 1, 1))
    weights = np.where(classes == 4, 0.1, 1).astype(np.float32)
    targets = [Tensor(array) for array in (classes, weights, 0.5 * boxes, weights)]
    criterion = Criterion(settings)

    def total(logits: Tensor) -> tuple[Tensor, Tensor]:
        return criterion.sum_query_losses(logits, Tensor(boxes), *targets)

    (value, parts), gradient = ms.value_and_grad(total, 0, None, has_aux=True)(Tensor(logits))
    return float(value), parts.asnumpy(), gradient.asnumpy()


@pytest.mark.parametrize(
    ("num_layers", "expected"), [(6, np.array([1, 2, 3, 4, 5, 15]) / 30), (2, [0.5, 0.5]), (1, [1])]
)
def test_growing_weights_are_those_of_devis(num_layers: int, expected: np.ndarray) -> None:
    equal, parts, plain = query_losses(Loss(), num_layers)
    grown, same, gradient = query_losses(Loss(layer_weights="growing"), num_layers)
    by_layer = parts @ [1.0, 5.0, 2.0]
    assert equal == pytest.approx(by_layer.sum(), rel=1e-5)
    assert grown == pytest.approx(by_layer @ np.asarray(expected), rel=1e-5)
    np.testing.assert_array_equal(same, parts)
    np.testing.assert_allclose(gradient, plain * np.reshape(expected, (-1, 1, 1, 1)), rtol=1e-5, atol=1e-8)


def test_the_focal_class_loss_follows_its_formula() -> None:
    _, plain, _ = query_losses(Loss(), 2)
    _, parts, gradient = query_losses(Loss(class_focal_gamma=2), 2)
    np.testing.assert_array_equal(parts[:, 1:], plain[:, 1:])
    logits = random(0, 2, 1, 6, 5).astype(np.float64)
    classes = np.array([4, 1, 4, 2, 4, 3])

    def formula(logits: np.ndarray) -> np.ndarray:
        probability = softmax(logits, -1)[:, 0, np.arange(6), classes]
        return (np.where(classes == 4, 0.1, 1) * (1 - probability) ** 2 * -np.log(probability)).sum(1)

    np.testing.assert_allclose(parts[:, 0], formula(logits), rtol=1e-5)
    for place in ((0, 0, 1, 1), (1, 0, 2, 4), (1, 0, 5, 0)):
        moved = np.zeros_like(logits)
        moved[place] = 1e-5
        slope = (formula(logits + moved) - formula(logits - moved)).sum() / 2e-5
        assert gradient[place] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_a_focal_loss_of_what_is_certain_is_zero_and_has_a_gradient() -> None:
    settings = Loss(class_focal_gamma=2.5)
    logits = np.array([[[[200.0, 0, 0]]]], np.float32)
    targets = (np.zeros((1, 1, 1), np.int32), np.ones((1, 1, 1), np.float32))
    boxes = np.full((1, 1, 1, 4), 0.5, np.float32)

    def total(logits: Tensor) -> Tensor:
        arrays = (*targets, boxes, 0 * targets[1])
        return Criterion(settings).sum_query_losses(logits, Tensor(boxes), *(Tensor(array) for array in arrays))[0]

    value, gradient = ms.value_and_grad(total)(Tensor(logits))
    assert float(value) == 0
    assert not gradient.asnumpy().any()


def test_a_loss_without_a_weight_and_a_weight_without_a_loss_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    Criterion(Loss())
    monkeypatch.setattr(vistr.losses.criterion, "LOSSES", (*LOSSES, "tversky"))
    with pytest.raises(AttributeError, match="tversky_weight"):
        Criterion(Loss())
    monkeypatch.setattr(vistr.losses.criterion, "LOSSES", tuple(name for name in LOSSES if name != "dice"))
    with pytest.raises(ValueError, match="dice_weight"):
        Criterion(Loss())


def test_a_new_mask_loss_is_weighted_and_named_by_its_line_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        MASK_LOSSES, "dice", lambda x, y, probability, inside, pixels, natively: probability.sum(1) * 0 + 2
    )
    ones = Tensor(np.ones((1, 1, 4, 4), np.uint8))
    _, parts = Criterion(Loss()).sum_mask_losses(
        Tensor(np.zeros((1, 1, 1, 1), np.float32)), ones, Tensor(np.ones((1, 1), np.float32))
    )
    assert named_losses(np.zeros(4), np.append(0, parts.asnumpy()))["dice"] == 2
