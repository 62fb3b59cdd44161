"""Loading the original's state dict: all of it or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tests import tiny
from vistr.errors import UserError
from vistr.models.vistr import VisTR
from vistr.weights import load_torch_state_dict

CHANGED = "vistr.class_embed.bias"


@pytest.fixture(scope="module")
def network() -> VisTR:
    return tiny.model()


@pytest.fixture
def arrays(network: VisTR) -> dict[str, np.ndarray]:
    """The network's state dict with one other value."""
    arrays = tiny.state_dict(network)
    arrays[CHANGED] = arrays[CHANGED] + 1
    return arrays


def assert_refused(network: VisTR, arrays: dict[str, np.ndarray], *sentences: str) -> None:
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    with pytest.raises(UserError, match="the weights do not fit this model") as error:
        load_torch_state_dict(network, arrays)
    for sentence in sentences:
        assert sentence in str(error.value)
    for parameter in network.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name], err_msg=parameter.name)


def test_a_missing_entry_is_named(network: VisTR, arrays: dict[str, np.ndarray]) -> None:
    del arrays["mask_head.dcn.weight"]
    assert_refused(network, arrays, "missing: mask_head.dcn.weight")


def test_an_unused_entry_is_named(network: VisTR, arrays: dict[str, np.ndarray]) -> None:
    arrays["vistr.extra.weight"] = np.zeros(3)
    assert_refused(network, arrays, "unused: vistr.extra.weight")


def test_a_misshapen_entry_is_named_with_both_shapes(network: VisTR, arrays: dict[str, np.ndarray]) -> None:
    arrays["vistr.input_proj.weight"] = np.zeros((96, 256, 1, 1), np.float32)
    sentence = "misshapen: vistr.input_proj.weight is (96, 256, 1, 1), not (96, 512, 1, 1)"
    assert_refused(network, arrays, sentence)


def test_all_complaints_come_at_once_and_long_ones_are_cut(network: VisTR, arrays: dict[str, np.ndarray]) -> None:
    encoder = [name for name in arrays if ".encoder." in name]
    for name in encoder:
        arrays[name.replace("encoder", "decoder2")] = arrays.pop(name)
    arrays[CHANGED] = np.zeros(7)
    more = f" and {len(encoder) - 1} more"
    assert_refused(network, arrays, "missing: ", "unused: ", f"misshapen: {CHANGED} is (7,), not (6,)", more)


def test_counters_of_batches_are_ignored(network: VisTR, arrays: dict[str, np.ndarray]) -> None:
    arrays["vistr.backbone.0.body.bn1.num_batches_tracked"] = np.array(3)
    load_torch_state_dict(network, arrays)
    np.testing.assert_array_equal(network.detector.class_embed.bias.asnumpy(), arrays[CHANGED])
