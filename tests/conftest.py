"""What tests share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

# Compiled graphs of this session's own, for the processes that tests start too: none that an earlier one left.
_CACHE = tempfile.TemporaryDirectory(prefix="vistr-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name

from vistr.runtime import environment  # noqa: E402 (it looks for the cache's folder)

environment.set_defaults()


@pytest.fixture
def cpu() -> Iterator[None]:
    """The CPU and its kernels, whatever the machine has and whatever the test chooses meanwhile."""
    from vistr.runtime.device import use_device

    use_device("cpu")
    yield
    use_device("cpu")
