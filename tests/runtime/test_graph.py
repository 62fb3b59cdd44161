"""Compiled functions: announced and counted once a size."""

from __future__ import annotations

import logging
import time

import numpy as np
import pytest
from mindspore import Tensor, ops

from vistr.runtime.graph import Graph, num_compiled

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


def test_waiting_for_a_graph_leaves_the_processor_to_it() -> None:
    def powers(x: Tensor) -> Tensor:
        for _ in range(20):
            x = ops.matmul(x, x) * 1e-3
        return x

    graph, x = Graph("powers", powers), Tensor(np.ones((1000, 1000), np.float32))
    graph(x).asnumpy()
    wall, busy = time.perf_counter(), time.thread_time()
    graph(x).asnumpy()
    assert time.thread_time() - busy < 0.3 * (time.perf_counter() - wall)
