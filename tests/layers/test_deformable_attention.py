"""Deformable attention against a loop over its points."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from tests.layers.test_deformable import sample
from tests.numeric import assert_like, random, values_and_gradients
from vistr.layers.deformable_attention import DeformableAttention, PointReading, neighbours
from vistr.layers.parameters import set_value, weights_rng
from vistr.runtime import backend

pytestmark = pytest.mark.usefixtures("cpu")

HEADS, POINTS, CHANNELS = 2, 2, 8
CLIP = (2, 3, 2, 3)  # clips, frames, rows, columns
# The second clip's pictures end a row and a column before their maps do.
SIZES = np.array([[2, 3]] * 3 + [[1, 2]] * 3, np.float32)
# Points in the own frame alone, and some in each of the two frames before it and after it, too.
KINDS = {"spatial": (0, 1), "temporal": (2, 2)}


def inputs(temporal_points: int, window: int) -> list[np.ndarray]:
    """Values, weights, dy, dx."""
    points = POINTS + 2 * window * temporal_points
    shape = (6, 6 * HEADS, points)
    return [random(0, *CLIP, CHANNELS), random(1, *shape), 1.5 * random(2, *shape), 1.5 * random(3, *shape)]


def frames_of(temporal_points: int, window: int) -> np.ndarray:
    """The frame of every point, by the frame it is read for: `[T, p]`."""
    own = np.arange(CLIP[1])[:, None].repeat(POINTS, 1)
    return np.concatenate((own, neighbours(CLIP[1], window).repeat(temporal_points, 1)), 1)


def read_points(
    value: np.ndarray, weights: np.ndarray, dy: np.ndarray, dx: np.ndarray, temporal_points: int, window: int
) -> np.ndarray:
    """A loop over clips, frames, pixels, heads and points; those in frames that a clip does not have are left out."""
    batch, num_frames, height, width = CLIP
    by_head = value.reshape(*CLIP, HEADS, -1)
    out = np.zeros(by_head.shape)
    frames = frames_of(temporal_points, window)
    for b, t, y, x, head in np.ndindex(batch, num_frames, height, width, HEADS):
        image, row = b * num_frames + t, (y * width + x) * HEADS + head
        rows, columns = SIZES[image].astype(int)
        for point, frame in enumerate(frames[t]):
            if 0 <= frame < num_frames:
                picture, place = by_head[b, frame, :rows, :columns, head], (image, row, point)
                read = sample(picture, y + dy[place], x + dx[place])
                out[b, t, y, x, head] += weights[place] * read
    return out.reshape(value.shape)


@pytest.mark.parametrize("kernels", ["gather", "gpu"])
@pytest.mark.parametrize(("temporal_points", "window"), KINDS.values(), ids=KINDS)
def test_every_point_is_read_where_its_offset_points(
    temporal_points: int, window: int, kernels: backend.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_current", kernels)
    layer = PointReading(HEADS, POINTS, window, temporal_points)
    value, weights, dy, dx = inputs(temporal_points, window)
    frames = frames_of(temporal_points, window)
    # As the softmax leaves it: nothing for frames that there are not.
    present = np.tile(((frames >= 0) & (frames < CLIP[1]))[:, None], (CLIP[0], 1, 1)).astype(np.float32)

    def run(value: Tensor, weights: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        return layer(value, weights * Tensor(present), dy, dx, Tensor(SIZES))

    def reference(*some: np.ndarray) -> np.ndarray:
        return read_points(*some, temporal_points, window)

    assert_like(run, reference, value, weights, dy, dx)


@pytest.mark.parametrize("at_once", [2500, 10**9])
def test_its_own_gradients_are_those_of_its_operators(at_once: int) -> None:
    layer = PointReading(HEADS, POINTS, 1, 1)
    arrays = inputs(1, 1)

    def plain(*some: Tensor) -> Tensor:
        return layer.construct(*some, Tensor(SIZES))

    _, expected = values_and_gradients(plain, *arrays)
    layer.values_a_chunk = at_once
    weights = Tensor(random(99, *CLIP, CHANNELS))

    def weighted(value: Tensor, weight: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        return (layer(value, weight, dy, dx, Tensor(SIZES)) * weights).sum()

    gradients = ms.grad(weighted, (0, 1, 2, 3))

    @ms.jit
    def run(*some: Tensor) -> Any:
        return gradients(*some)

    for ours, theirs in zip(run(*(Tensor(a) for a in arrays)), expected, strict=True):
        np.testing.assert_allclose(ours.asnumpy(), theirs, atol=1e-5)


def attention(temporal_points: int, window: int) -> DeformableAttention:
    """A layer whose weights leave nothing at zero."""
    weights_rng.seed(0)
    layer = DeformableAttention(CHANNELS, HEADS, POINTS, temporal_points, window)
    for i, parameter in enumerate(layer.trainable_params()):
        set_value(parameter, parameter.asnumpy() + 0.3 * random(i, *parameter.shape))
    return layer


def attend(
    weights: dict[str, np.ndarray], query: np.ndarray, x: np.ndarray, temporal_points: int, window: int
) -> np.ndarray:
    """The whole layer, in the published order of its arrays: (head, frame, point) and x before y."""

    def linear(name: str, rows: np.ndarray) -> np.ndarray:
        return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    rows, frames = query.reshape(-1, CHANNELS), frames_of(temporal_points, window)
    offsets = linear("sampling_offsets", rows).reshape(6, 6 * HEADS, POINTS, 2)
    scores = linear("attention_weights", rows).reshape(6, 6 * HEADS, POINTS)
    if temporal_points:
        more = 2 * window * temporal_points
        temporal = linear("temporal_sampling_offsets", rows).reshape(6, 6 * HEADS, more, 2)
        offsets = np.concatenate((offsets, temporal), 2)
        scores = np.concatenate((scores, linear("temporal_attention_weights", rows).reshape(6, 6 * HEADS, more)), 2)
    present = np.tile(((frames >= 0) & (frames < CLIP[1]))[:, None], (CLIP[0], 1, 1))
    powers = np.where(present, np.exp(scores), 0)
    value = linear("value_proj", x.reshape(-1, CHANNELS)).reshape(x.shape)
    shares = powers / powers.sum(2, keepdims=True)
    out = read_points(value, shares, offsets[..., 1], offsets[..., 0], temporal_points, window)
    return linear("output_proj", out.reshape(-1, CHANNELS)).reshape(x.shape)


@pytest.mark.parametrize(("temporal_points", "window"), KINDS.values(), ids=KINDS)
def test_the_whole_layer_is_the_published_one(temporal_points: int, window: int) -> None:
    layer = attention(temporal_points, window)
    weights = {p.name: p.asnumpy().astype(np.float64) for p in layer.trainable_params()}

    def run(query: Tensor, x: Tensor) -> Tensor:
        return layer(query, x, Tensor(SIZES))

    def reference(query: np.ndarray, x: np.ndarray) -> np.ndarray:
        return attend(weights, query, x, temporal_points, window)

    assert_like(run, reference, random(0, *CLIP, CHANNELS), random(1, *CLIP, CHANNELS))


def test_it_starts_as_published() -> None:
    layer = DeformableAttention(16, 8, 4, 2, 1)
    found = {p.name: p.asnumpy() for p in layer.trainable_params()}
    # Eight heads look along the sides and the diagonals; the k-th point is k pixels away, as a king moves.
    directions = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    points = [[(x * k, y * k) for k in (1, 2, 3, 4)] for x, y in directions]
    np.testing.assert_allclose(found["sampling_offsets.bias"].reshape(8, 4, 2), points, atol=1e-6)
    near = [[[(x * k, y * k) for k in (1, 2)]] * 2 for x, y in directions]
    np.testing.assert_allclose(found["temporal_sampling_offsets.bias"].reshape(8, 2, 2, 2), near, atol=1e-6)
    for name in ("value_proj", "output_proj"):
        bound = np.abs(found.pop(f"{name}.weight")).max()
        assert 0.8 * np.sqrt(6 / 32) < bound <= np.sqrt(6 / 32)
    assert not any(array.any() for name, array in found.items() if "offsets.bias" not in name)


@pytest.mark.parametrize("temporal_points", [0, 2])
def test_what_padding_holds_is_not_read(temporal_points: int) -> None:
    layer, query, x = attention(temporal_points, 1), random(0, *CLIP, CHANNELS), random(1, *CLIP, CHANNELS)
    out = layer(Tensor(query), Tensor(x), Tensor(SIZES)).asnumpy()
    x[1, :, 1:], x[1, :, :, 2:] = 100, -100
    again = layer(Tensor(query), Tensor(x), Tensor(SIZES)).asnumpy()
    np.testing.assert_allclose(again, out, atol=1e-5)
    # As if the maps ended there.
    parts = (np.ascontiguousarray(a[1:, :, :1, :2]) for a in (query, x))
    alone = layer(*(Tensor(part) for part in parts), Tensor(SIZES[3:])).asnumpy()
    np.testing.assert_allclose(out[1:, :, :1, :2], alone, atol=1e-5)


def test_half_precision_is_near_single_precision() -> None:
    layer, query, x = attention(1, 1), random(0, *CLIP, CHANNELS), random(1, *CLIP, CHANNELS)
    exact = layer(Tensor(query), Tensor(x), Tensor(SIZES)).asnumpy()
    half = layer(*(Tensor(a.astype(np.float16)) for a in (query, x)), Tensor(SIZES))
    assert half.dtype == ms.float16
    np.testing.assert_allclose(half.asnumpy(), exact, atol=0.02)
