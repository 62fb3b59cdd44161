"""Swin: the published network's maps and gradients, padding, stochastic depth, and what it says of itself.

The numbers of tests/data/model/swin_*.npz are those of Mask2Former's Swin (facebookresearch/Mask2Former at 161be51,
mask2former/modeling/backbone/swin.py, run in float64 with PyTorch 2.13 on a CPU), built as

    SwinTransformer(embed_dim=dim, depths=depths, num_heads=[dim * 2**i // 32 for i in range(4)], window_size=window)

in eval mode, its parameters `reference.weight("vistr.backbone.0.body." + name, shape)`. For images
[2, 3, height, width] of `RandomState(number of the case).standard_normal` they hold every 29th value of the four maps,
channels last (map0 to map3). The gradients are those of the sum of the maps times
`RandomState(100 + i).standard_normal(map's shape)`: of every parameter's (names) the norm (norms) and the product with
`RandomState(crc32(name)).standard_normal` (slopes).
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from tests import reference, tiny  # noqa: F401 - tiny registers a small Swin
from tests.numeric import assert_like, random
from vistr.errors import UserError
from vistr.layers.parameters import set_value
from vistr.models.backbones import BACKBONES, Swin, backbone_in
from vistr.models.swin import Gelu
from vistr.runtime import backend
from vistr.weights.kinds import BODY
from vistr.weights.names import from_torch_layout, torch_name, torch_shape

pytestmark = pytest.mark.usefixtures("cpu", "blocking")

# Embedding, depths, window, height and width: windows and patches that the sides are no multiples of, maps that are
# smaller than a window, depths that end on a shifted block and on a plain one.
CASES: dict[str, tuple[int, list[int], int, int, int]] = {
    "wide": (32, [2, 2, 2, 2], 7, 66, 94),
    "flat": (32, [1, 2, 3, 2], 4, 37, 150),
    "tall": (64, [2, 1, 2, 1], 12, 200, 60),
}


@pytest.fixture
def blocking() -> None:
    """Operators that wait for each other in loops take ten times as long."""
    ms.runtime.launch_blocking()


def original_name(name: str) -> str:
    """The name in files of a parameter of the cell."""
    return torch_name(f"detector.backbone.{name}").removeprefix(BODY)


def network(dim: int, depths: list[int], window: int, *, recompute: bool = False) -> nn.Cell:
    """A Swin with the reference weights."""
    cell: Any = Swin(embed_dim=dim, depths=depths, window=window).build(recompute=recompute)
    for p in cell.get_parameters():
        name, shape = original_name(p.name), tuple(p.shape)
        set_value(p, from_torch_layout(reference.weight(BODY + name, torch_shape(name, shape)), shape))
    return cell  # type: ignore[no-any-return]


def images(case: str) -> Tensor:
    height, width = CASES[case][3:]
    drawn = np.random.RandomState(list(CASES).index(case)).standard_normal((2, 3, height, width))
    return Tensor(np.ascontiguousarray(drawn.transpose(0, 2, 3, 1), np.float32))


def gradients(
    cell: nn.Cell, weights: list[np.ndarray], *inputs: Tensor, compiled: bool = False
) -> dict[str, np.ndarray]:
    """Those of the sum of the maps times weights."""
    parameters = ms.ParameterTuple(cell.trainable_params())

    def of_maps(*given: Tensor) -> Any:
        return ops.GradOperation(get_by_list=True, sens_param=True)(cell, parameters)(*given, sens)

    sens = tuple(Tensor(w) for w in weights)
    run = ms.jit(of_maps) if compiled else of_maps
    return {p.name: g.asnumpy() for p, g in zip(parameters, run(*inputs), strict=True)}


@pytest.mark.parametrize("case", CASES)
def test_the_published_networks_maps(case: str) -> None:
    numbers = reference.golden(f"swin_{case}")
    for i, found in enumerate(network(*CASES[case][:3])(images(case))):
        np.testing.assert_allclose(found.asnumpy().reshape(-1)[::29], numbers[f"map{i}"], atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("recompute", [False, True])
def test_the_published_networks_gradients(recompute: bool) -> None:
    cell, numbers = network(*CASES["wide"][:3], recompute=recompute), reference.golden("swin_wide")
    shapes = [(2, 17, 24, 32), (2, 9, 12, 64), (2, 5, 6, 128), (2, 3, 3, 256)]
    weights = [np.random.RandomState(100 + i).standard_normal(s).astype(np.float32) for i, s in enumerate(shapes)]
    found = {original_name(name): g for name, g in gradients(cell, weights, images("wide"), compiled=True).items()}
    assert set(found) == set(numbers["names"])
    for name, norm, slope in zip(numbers["names"], numbers["norms"], numbers["slopes"], strict=True):
        gradient = np.moveaxis(found[name], -1, 1) if found[name].ndim == 4 else found[name]
        direction = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(gradient.shape)
        # The keys' biases have none: the original's rounds to something small.
        assert abs(np.linalg.norm(gradient) - norm) < 1e-4 * norm, name
        assert abs((gradient * direction).sum() - slope) < 1e-4 * norm * np.sqrt(gradient.size), name


@pytest.mark.slow
def test_a_pictures_maps_and_gradients_are_its_own_whatever_it_is_padded_to() -> None:
    # Padded by as much again as the picture, by 1 and by 31 pixels.
    sizes, bucket = [(33, 48), (65, 95), (35, 65)], (66, 96)
    cell = network(32, [2, 1, 1, 1], 4)
    pictures = [random(i, 1, *size, 3) for i, size in enumerate(sizes)]
    together = np.zeros((3, *bucket, 3), np.float32)
    for batch, picture in zip(together, pictures, strict=True):
        batch[: picture.shape[1], : picture.shape[2]] = picture[0]
    maps = cell(Tensor(together), Tensor(np.array(sizes, np.float32)))
    weights = [np.zeros(m.shape, np.float32) for m in maps]
    total: dict[str, np.ndarray] = {}
    for i, picture in enumerate(pictures):
        alone = cell(Tensor(picture))
        own = [random(10 + j, *m.shape) for j, m in enumerate(alone)]
        for whole, ours, w, weight in zip(maps, alone, own, weights, strict=True):
            h, w_ = ours.shape[1:3]
            np.testing.assert_allclose(whole.asnumpy()[i, :h, :w_], ours.asnumpy()[0], atol=2e-5)
            weight[i, :h, :w_] = w[0]
        for name, gradient in gradients(cell, own, Tensor(picture)).items():
            total[name] = total.get(name, 0) + gradient
    for name, gradient in gradients(cell, weights, Tensor(together), Tensor(np.array(sizes, np.float32))).items():
        assert np.linalg.norm(gradient - total[name]) < 1e-4 * np.linalg.norm(total[name]), name


def test_a_branch_that_is_left_out_adds_nothing_to_its_image() -> None:
    cell = network(32, [1, 1, 1, 1], 3)
    pictures, ones = Tensor(random(0, 2, 20, 24, 3)), np.ones((2, 8), np.float32)
    plain = [m.asnumpy() for m in cell(pictures)]
    for found, expected in zip(cell(pictures, None, Tensor(ones)), plain, strict=True):
        np.testing.assert_allclose(found.asnumpy(), expected, atol=1e-5)
    without_first = ones.copy()
    without_first[0] = 0
    dropped = [m.asnumpy() for m in cell(pictures, None, Tensor(without_first))]
    for p in cell.get_parameters():
        if "attn.proj." in p.name or "mlp.fc2." in p.name:
            set_value(p, np.zeros(p.shape, np.float32))
    silent = [m.asnumpy() for m in cell(pictures)]
    for found, expected, ours in zip(dropped, silent, plain, strict=True):
        np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
        np.testing.assert_allclose(found[1], ours[1], atol=1e-5)


def test_the_rate_of_leaving_out_grows_from_block_to_block() -> None:
    rates = Swin("swin_t", drop_path=0.22).branch_rates
    np.testing.assert_allclose(rates, np.repeat(np.linspace(0, 0.22, 12), 2))
    assert Swin("swin_t", drop_path=0).branch_rates == []


@pytest.mark.parametrize("kernels", ["gather", "native", "gpu"])
def test_gelu_also_where_erf_is_not_exported(kernels: backend.Backend) -> None:
    backend.use(kernels)

    def gelu(x: np.ndarray) -> np.ndarray:
        return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2

    assert_like(Gelu(), gelu, np.concatenate((3 * random(0, 200), np.zeros(2, np.float32))), tolerance=1e-5)


@pytest.mark.slow
def test_half_precision_rounds_what_it_computes_and_no_more() -> None:
    cell, whole = network(32, [2, 1, 1, 1], 4), random(0, 1, 40, 72, 3)
    exact = cell(Tensor(whole))
    for found, expected in zip(cell(Tensor(whole.astype(np.float16))), exact, strict=True):
        assert found.dtype == ms.float16
        assert np.abs(found.asnumpy() - expected.asnumpy()).max() < 0.03
    # Of what residuals add up to beyond half precision nothing is lost.
    set_value(cell.patch_embed.norm.bias, np.full(32, 1e5, np.float32))
    for found in cell(Tensor(whole.astype(np.float16))):
        assert np.isfinite(found.asnumpy()).all()


@pytest.mark.parametrize("name", ["swin_t", "tiny_swin"])
def test_what_it_says_of_itself_is_what_it_builds(name: str) -> None:
    backbone = BACKBONES[name]
    cell: Any = backbone.build(trainable=True, recompute=False)
    maps = cell(Tensor(random(0, 1, 33, 64, 3)))
    assert [m.shape[3] for m in maps] == backbone.channels
    assert [m.shape[1:3] for m in maps] == backbone.map_sizes(33, 64)
    assert len(backbone.branch_rates) == cell.num_branches
    arrays = {original_name(p.name): p.asnumpy() for p in cell.get_parameters()}
    assert backbone.wrote(arrays)
    assert backbone_in(arrays) == backbone
    assert len(arrays) == len(list(cell.get_parameters()))
    undecayed = {n for n in arrays if any(part in n for part in backbone.no_decay)}
    assert {n for n in arrays if "norm" in n or n.endswith("table")} == undecayed


def test_the_window_is_read_off_the_weights() -> None:
    cell: Any = Swin("tiny_swin", embed_dim=32, depths=[2, 1, 1, 1], window=5).build()
    found = backbone_in({original_name(p.name): p.asnumpy() for p in cell.get_parameters()})
    assert isinstance(found, Swin)
    assert (found.name, found.window) == ("tiny_swin", 5)


def test_what_is_frozen_keeps_its_weights() -> None:
    stem: Any = Swin(embed_dim=32, depths=[1, 1, 1, 1], frozen_stem=True).build()
    kept = {p.name.split(".")[0] + p.name.split(".")[1] for p in stem.get_parameters() if not p.requires_grad}
    assert kept == {"patch_embedproj", "patch_embednorm", "layers0"}
    # The norm of the first map trains, so that the gradient is taken from the images on.
    assert not stem.frozen_stem
    assert not Swin(embed_dim=32, depths=[1, 1, 1, 1]).build(trainable=False).trainable_params()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"embed_dim": 40}, "embed_dim=40 is not a multiple of 32"),
        ({"depths": [2, 2, 6]}, "four numbers"),
        ({"name": "r50"}, "not one of its choices"),
    ],
)
def test_settings_that_no_swin_has(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Swin(**settings).check("backbone")
