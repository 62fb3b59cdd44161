"""The layers and losses the network is made of, each with inputs to try it on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from vistr.layers.attention import MultiHeadAttention
from vistr.layers.conv import ConvNorm, convolution
from vistr.layers.conv3d import SequenceConv
from vistr.layers.deformable import DeformableConv, OffsetConv
from vistr.layers.deformable_attention import DeformableAttention
from vistr.layers.dropout import Dropout, DropPath, noise_pool, path_factors
from vistr.layers.linear import Linear
from vistr.layers.norm import GroupNorm, LayerNorm
from vistr.layers.parameters import set_value, weights_rng
from vistr.layers.resize import resize_bilinear, resize_nearest
from vistr.layers.window_tables import window_tables
from vistr.layers.windows import WindowAttention
from vistr.losses.boxes import generalised_iou
from vistr.losses.criterion import MASK_LOSSES, mask_losses, negative_log_likelihood, weighted_sum
from vistr.models.heads import BoxHead
from vistr.models.masks import AttentionMap
from vistr.models.resnet import MaxPool
from vistr.models.swin import Gelu

Array = np.ndarray
Case = tuple[Callable[..., Tensor], list[Array]]
# What the network computes in float32 also where the rest is in half precision.
FLOAT32 = ("class loss", "generalised IoU", "focal and dice loss", "box head")
CASES: dict[str, Callable[[np.random.Generator], Case]] = {}


def case(name: str) -> Callable[[Callable[[np.random.Generator], Case]], None]:
    """Register a function that builds an operator and its float32 inputs, all of which get gradients."""

    def add(build: Callable[[np.random.Generator], Case]) -> None:
        CASES[name] = build

    return add


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> Array:
    """Standard normal float32, times `scale`."""
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def run(name: str, seed: int, precision: str = "fp32") -> dict[str, Array]:
    """Output and gradients of a case, eager and compiled: {"eager_0": output, "eager_1": gradient of input 0, ...}.

    With "fp16" the inputs are of half precision.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    # Layers draw their weights from here.
    weights_rng.seed(seed)
    operator, inputs = CASES[name](rng)
    dtype = np.float16 if precision == "fp16" else np.float32
    tensors = [Tensor(array.astype(dtype)) for array in inputs]
    out = operator(*tensors)
    weights = Tensor(normal(rng, *out.shape).astype(dtype))
    gradient = ms.grad(weighted_by(operator, weights), tuple(range(len(inputs))))

    def forward(*some: Tensor) -> Tensor:
        return operator(*some)

    def backward(*some: Tensor) -> Any:
        return gradient(*some)

    found = {}
    for mode, run_forward, run_backward in (
        ("eager", forward, backward),
        ("compiled", ms.jit(forward), ms.jit(backward)),
    ):
        gradients = run_backward(*tensors)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        for i, tensor in enumerate((run_forward(*tensors), *gradients)):
            found[f"{mode}_{i}"] = tensor.asnumpy().astype(np.float32)
    return found


def weighted_by(operator: Callable[..., Tensor], weights: Tensor) -> Callable[..., Tensor]:
    """The sum of the operator's output times weights."""

    def weighted(*some: Tensor) -> Tensor:
        return (operator(*some) * weights).sum()

    return weighted


def _convolution(name: str, kernel: int, stride: int, dilation: int, channels: tuple[int, int]) -> None:
    @case(name)
    def build(rng: np.random.Generator) -> Case:
        inner, outer = channels
        weight = normal(rng, outer, kernel, kernel, inner, scale=0.1)
        convolve = convolution(kernel, stride, dilation * (kernel // 2), dilation)
        inside = Tensor(np.ones((2, 18, 30), np.float32))

        def run(x: Tensor, weight: Tensor) -> Tensor:
            return convolve(x, weight, inside)

        return run, [normal(rng, 2, 18, 30, inner), weight]


_convolution("convolution 7x7, stride 2", 7, 2, 1, (4, 16))
_convolution("convolution 3x3", 3, 1, 1, (32, 24))
_convolution("convolution 3x3, stride 2", 3, 2, 1, (32, 24))
_convolution("convolution 3x3, dilated", 3, 1, 2, (32, 24))
_convolution("convolution 1x1", 1, 1, 1, (64, 24))
_convolution("convolution 1x1, stride 2", 1, 2, 1, (64, 24))


@case("convolution with frozen BatchNorm")
def _(rng: np.random.Generator) -> Case:
    return ConvNorm(32, 24, 3), [normal(rng, 2, 18, 30, 32)]


@case("3-D convolution, dilated")
def _(rng: np.random.Generator) -> Case:
    return SequenceConv(16, 12, 2), [normal(rng, 2, 4, 10, 14, 16)]


@case("deformable convolution")
def _(rng: np.random.Generator) -> Case:
    x, offsets = normal(rng, 2, 10, 14, 16), [normal(rng, 2, 140, 9, scale=1.5) for _ in range(2)]
    return DeformableConv(16, 8), [x, *offsets]


@case("offsets of the deformable convolution")
def _(rng: np.random.Generator) -> Case:
    layer = OffsetConv(16)
    layer.weight.set_data(Tensor(normal(rng, *layer.weight.shape)))

    def both(x: Tensor) -> Tensor:
        dy, dx = layer(x)
        return dy + 2 * dx

    return both, [normal(rng, 2, 10, 14, 16)]


@case("deformable attention")
def _(rng: np.random.Generator) -> Case:
    layer, sizes = DeformableAttention(96, 8, 4, 2, 1), Tensor(np.array([[10, 14]] * 3 + [[9, 11]] * 3, np.float32))
    for parameter in layer.trainable_params():
        set_value(parameter, parameter.asnumpy() + normal(rng, *parameter.shape, scale=0.1))

    def attend(query: Tensor, x: Tensor) -> Tensor:
        return layer(query, x, sizes)

    return attend, [normal(rng, 2, 3, 10, 14, 96), normal(rng, 2, 3, 10, 14, 96)]


@case("max pool")
def _(rng: np.random.Generator) -> Case:
    return MaxPool(), [np.abs(normal(rng, 2, 17, 30, 16))]


@case("linear")
def _(rng: np.random.Generator) -> Case:
    return Linear(96, 42), [normal(rng, 2, 50, 96)]


@case("box head")
def _(rng: np.random.Generator) -> Case:
    return BoxHead(96), [normal(rng, 2, 50, 96)]


@case("layer normalisation")
def _(rng: np.random.Generator) -> Case:
    return LayerNorm(96), [normal(rng, 2, 50, 96)]


@case("group normalisation")
def _(rng: np.random.Generator) -> Case:
    return GroupNorm(8, 48), [normal(rng, 3, 10, 14, 48)]


@case("attention with a padding mask")
def _(rng: np.random.Generator) -> Case:
    layer = MultiHeadAttention(96, 8, 0)
    key_padding_mask = Tensor(np.where(np.arange(60) > 50, np.float32(-3e4), np.float32(0))[None].repeat(2, 0))

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return layer(q, k, v, key_padding_mask, None)

    return attend, [normal(rng, 2, 40, 96), normal(rng, 2, 60, 96), normal(rng, 2, 60, 96)]


@case("attention with dropout")
def _(rng: np.random.Generator) -> Case:
    layer, noise = MultiHeadAttention(96, 8, 3), Tensor(noise_pool(0.1, 0, 1))

    def attend(x: Tensor) -> Tensor:
        return layer(x, x, x, None, noise)

    return attend, [normal(rng, 2, 40, 96)]


@case("attention within shifted windows")
def _(rng: np.random.Generator) -> Case:
    layer = WindowAttention(96, 3, 7, 3)
    tables = window_tables(Tensor(np.array([[18, 30], [13, 7]], np.float32)), 18, 30, 7, 3, 3)

    def attend(x: Tensor) -> Tensor:
        return layer(x, *tables)

    return attend, [normal(rng, 2 * 18 * 30, 96)]


@case("Gelu")
def _(rng: np.random.Generator) -> Case:
    return Gelu(), [normal(rng, 200, 96, scale=2)]


@case("branches that are left out")
def _(rng: np.random.Generator) -> Case:
    layer, factors = DropPath(), Tensor(path_factors(np.full(1, 0.3), 8, 0, 1))

    def drop(x: Tensor) -> Tensor:
        return layer(x, factors)

    return drop, [normal(rng, 8 * 30, 96)]


@case("dropout")
def _(rng: np.random.Generator) -> Case:
    layer, noise = Dropout(5), Tensor(noise_pool(0.1, 0, 1))

    def drop(x: Tensor) -> Tensor:
        return layer(x, noise)

    return drop, [normal(rng, 200, 96)]


@case("attention map of the masks")
def _(rng: np.random.Generator) -> Case:
    layer, key_padding_mask = AttentionMap(96, 8), Tensor(np.zeros((6, 15), np.float32))

    def attend(queries: Tensor, keys: Tensor) -> Tensor:
        return layer(queries, keys, key_padding_mask)

    return attend, [normal(rng, 6, 96), normal(rng, 6, 3, 5, 96)]


@case("resize, nearest")
def _(rng: np.random.Generator) -> Case:
    def resize(x: Tensor) -> Tensor:
        return resize_nearest(x, 19, 34)

    return resize, [normal(rng, 2, 10, 17, 16)]


@case("resize, bilinear")
def _(rng: np.random.Generator) -> Case:
    def resize(x: Tensor) -> Tensor:
        return resize_bilinear(x, 38, 68)

    return resize, [normal(rng, 4, 10, 17)]


@case("gather of rows")
def _(rng: np.random.Generator) -> Case:
    rows = Tensor(rng.integers(0, 50, 80).astype(np.int32))

    def gather(x: Tensor) -> Tensor:
        return ops.gather(x, rows, 0)

    return gather, [normal(rng, 50, 64)]


@case("class loss")
def _(rng: np.random.Generator) -> Case:
    classes = Tensor(rng.integers(0, 42, (2, 30)).astype(np.int32))

    def loss(logits: Tensor) -> Tensor:
        return negative_log_likelihood(logits, classes)

    return loss, [normal(rng, 2, 30, 42)]


@case("generalised IoU")
def _(rng: np.random.Generator) -> Case:
    return generalised_iou, [rng.uniform(0.2, 0.8, (60, 4)).astype(np.float32) for _ in range(2)]


@case("focal and dice loss")
def _(rng: np.random.Generator) -> Case:
    targets = Tensor((rng.random((2, 3, 40, 64)) < 0.3).astype(np.uint8))

    def loss(masks: Tensor) -> Tensor:
        return weighted_sum(mask_losses(masks, targets), (1.0,) * len(MASK_LOSSES))

    return loss, [normal(rng, 2, 3, 10, 16)]
