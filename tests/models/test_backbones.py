"""ResNets: their maps, what of them trains, and BatchNorm statistics of their own."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor

from tests.numeric import random
from vistr.models.backbones import BACKBONES, LAYOUTS, Layout, ResNet, backbone_in, register
from vistr.models.resnet import MaxPool
from vistr.weights.names import torch_name

pytestmark = pytest.mark.usefixtures("cpu")


@pytest.mark.parametrize(
    ("name", "channels", "num_convolutions"),
    [
        ("r18", [64, 128, 256, 512], 20),
        ("r34", [64, 128, 256, 512], 36),
        ("r50", [256, 512, 1024, 2048], 53),
        ("r101", [256, 512, 1024, 2048], 104),
    ],
)
def test_depths_and_widths(name: str, channels: list[int], num_convolutions: int) -> None:
    assert ResNet(name).channels == channels
    backbone = ResNet(name).build()
    kernels = [p for p in backbone.get_parameters() if p.ndim == 4]
    assert len(kernels) == num_convolutions
    trained = {name for name, p in backbone.parameters_and_names() if p.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"layer2", "layer3", "layer4"}
    assert all(p.ndim == 4 for p in backbone.trainable_params())


@pytest.mark.parametrize("name", ["r18", "r34"])
def test_maps_of_strides_4_8_16_and_32(name: str) -> None:
    maps = ResNet(name).build()(Tensor(random(0, 1, 37, 64, 3)))
    assert [tuple(m.shape) for m in maps] == [(1, 10, 16, 64), (1, 5, 8, 128), (1, 3, 4, 256), (1, 2, 2, 512)]


def test_dilation_keeps_stride_16_and_sees_as_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, "r50", Layout((1, 1, 1, 3), bottleneck=True))
    images = Tensor(random(0, 1, 64, 64, 3))
    plain, dilated = ResNet("r50").build(), ResNet("r50", dilation=True).build()
    for ours, theirs in zip(dilated.get_parameters(), plain.get_parameters(), strict=True):
        ours.set_data(theirs)
    assert dilated(images)[3].shape == (1, 4, 4, 2048)
    np.testing.assert_array_equal(dilated(images)[2].asnumpy(), plain(images)[2].asnumpy())
    dilations = [block.conv2.run.geometry for block in dilated.layer4]
    # The first block's 3x3 convolution is not dilated, as in torchvision.
    assert dilations == [(3, 1, 1, 1), (3, 1, 2, 2), (3, 1, 2, 2)]


def test_with_a_rate_of_zero_nothing_of_it_trains() -> None:
    assert not ResNet("r18").build(trainable=False).trainable_params()


@pytest.mark.parametrize(("height", "width"), [(8, 10), (7, 9), (1, 2)])
def test_max_pooling(height: int, width: int) -> None:
    x = abs(random(0, 2, height, width, 3))
    padded = np.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)))
    rows, columns = np.arange(0, height, 2), np.arange(0, width, 2)
    windows = [padded[:, rows + dy][:, :, columns + dx] for dy in range(3) for dx in range(3)]
    np.testing.assert_array_equal(MaxPool()(Tensor(x)).asnumpy(), np.max(windows, 0))


def test_calibration_standardises_every_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, "r18", Layout((1, 1, 1, 1)))
    backbone, images = ResNet("r18").build(), Tensor(3 + 2 * random(0, 2, 64, 64, 3))
    before = {name: p.asnumpy().copy() for name, p in backbone.parameters_and_names()}
    backbone.calibrate(images)
    first = backbone.conv1(images).asnumpy()
    np.testing.assert_allclose(first.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(first.var((0, 1, 2)), 1, atol=1e-2)
    changed = {name for name, p in backbone.parameters_and_names() if (p.asnumpy() != before[name]).any()}
    assert {name.rpartition(".")[2] for name in changed} == {"running_mean", "running_var"}
    assert len(changed) == len([name for name in before if "running_" in name])


@pytest.mark.parametrize("name", ["r10", "r34", "r50"])
def test_what_a_backbone_says_of_itself_is_what_it_builds(name: str) -> None:
    backbone = BACKBONES[name]
    cell = backbone.build()
    maps = cell(Tensor(random(0, 1, 33, 64, 3)))
    assert [m.shape[3] for m in maps] == backbone.channels
    assert [m.shape[1:3] for m in maps] == backbone.map_sizes(33, 64)
    assert cell.frozen_stem == backbone.frozen_stem
    arrays = {torch_name(p.name): p.asnumpy() for p in cell.get_parameters()}
    assert backbone.wrote(arrays)
    assert backbone_in(arrays) == backbone


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="r50"):
        register(ResNet("r50"))
