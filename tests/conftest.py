"""What tests share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

# Compiled graphs of this session's own, for the processes that tests start too: none that an earlier one left.
_CACHE = tempfile.TemporaryDirectory(prefix="vistr-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name
# Each of several test processes computes on its share of the cores: their threads would wait for each other.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(share, 1)))

from vistr.runtime import environment  # noqa: E402 (it looks for the cache's folder)

environment.set_defaults()


@pytest.fixture
def cpu() -> Iterator[None]:
    """The CPU and its kernels, whatever the machine has and whatever the test chooses meanwhile."""
    from vistr.runtime.device import use_device

    use_device("cpu")
    yield
    use_device("cpu")
