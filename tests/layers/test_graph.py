"""Compiled functions: announced and counted once a size."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from mindspore import Tensor

from vistr.layers.graph import Graph, num_compiled

pytestmark = pytest.mark.usefixtures("cpu")


def doubled(x: Tensor) -> Tensor:
    return x * 2


def test_a_size_is_compiled_announced_and_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    graph, before = Graph("doubling", doubled), num_compiled()
    with caplog.at_level(logging.INFO):
        for size in (2, 2, 3, 2):
            x = np.ones((size, 4), np.float32)
            np.testing.assert_array_equal(graph(Tensor(x)).asnumpy(), 2 * x)
    assert num_compiled() - before == 2
    assert caplog.messages == ["compiling doubling for 2x4, once", "compiling doubling for 3x4, once"]
