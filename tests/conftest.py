"""What tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def cpu() -> Iterator[None]:
    """The CPU and its kernels, whatever the machine has and whatever the test chooses meanwhile."""
    from vistr.device import use_device

    use_device("cpu")
    yield
    use_device("cpu")
