"""Our parameters under the original's names, against the list of its checkpoints' entries."""

from __future__ import annotations

import numpy as np
import pytest

from tests import reference, tiny
from tests.numeric import random
from vistr.config import Config, ResNet
from vistr.models.build import build_model
from vistr.runtime.device import use_device
from vistr.weights.names import (
    from_torch_layout,
    our_name,
    our_shape,
    to_torch_layout,
    torch_name,
    torch_shape,
)


@pytest.mark.parametrize("backbone", ["r50", "r101"])
def test_every_entry_of_the_original_has_its_parameter(backbone: str) -> None:
    use_device("cpu")
    network = build_model(Config(num_frames=4, backbone=ResNet(name=backbone)))
    ours = {torch_name(p.name): torch_shape(p.name, tuple(p.shape)) for p in network.get_parameters()}
    assert ours == reference.original_shapes(backbone, 4)


def test_layouts_there_and_back() -> None:
    for parameter in tiny.build().get_parameters():
        shape = tuple(parameter.shape)
        theirs = random(0, *torch_shape(parameter.name, shape))
        ours = from_torch_layout(theirs, shape)
        assert ours.shape == shape
        np.testing.assert_array_equal(to_torch_layout(parameter.name, ours), theirs, err_msg=parameter.name)


def test_a_kernel_keeps_its_taps() -> None:
    theirs = random(0, 4, 3, 5, 7)
    ours = from_torch_layout(theirs, (4, 5, 7, 3))
    assert ours[1, 2, 6, 0] == theirs[1, 0, 2, 6]


def test_other_number_formats_become_float32() -> None:
    assert from_torch_layout(random(0, 3, 2).astype(np.float16), (3, 2)).dtype == np.float32


@pytest.mark.parametrize("backbone", ["r50", "r101"])
def test_names_and_shapes_there_and_back(backbone: str) -> None:
    for name, shape in reference.original_shapes(backbone, 4).items():
        ours = our_name(name)
        assert ours != name
        assert torch_name(ours) == name
        assert torch_shape(ours, our_shape(name, shape)) == shape
