"""What tests share."""

from __future__ import annotations

import os
import sys
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


# The files that take longest, first: the last one to end should be a short one.
LONGEST = (
    "tests/test_launcher.py",
    "tests/test_gpu_kernels.py",
    "tests/models/test_padding.py",
    "tests/training/test_step.py",
    "tests/models/test_reference_r50.py",
    "tests/tasks/test_export.py",
    "tests/test_kill_check.py",
    "tests/training/test_trainer.py",
    "tests/test_disk.py",
    "tests/training/test_compile_ahead.py",
    "tests/models/test_deformable_transformer.py",
    "tests/models/test_reference_r101.py",
    "tests/models/test_reference_r50_padded.py",
    "tests/test_end_to_end.py",
    "tests/test_original_results.py",
    "tests/sweeps/test_sweeps.py",
    "tests/models/test_swin.py",
    "tests/tasks/test_rehearse.py",
    "tests/tasks/test_benchmark.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and mark as slow what needs one of its module's `SLOW_FIXTURES`."""
    rank = {file: number for number, file in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
    for item in items:
        slow = getattr(getattr(item, "module", None), "SLOW_FIXTURES", ())
        if set(slow).intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def _forgotten_graphs() -> Iterator[None]:
    """What a file's tests compiled is of no use to the next file's: it would add up to gigabytes."""
    yield
    if "mindspore" in sys.modules:
        from vistr.runtime.memory import forget_graphs

        forget_graphs()


@pytest.fixture
def cpu() -> Iterator[None]:
    """The CPU and its kernels, whatever the machine has and whatever the test chooses meanwhile."""
    from vistr.runtime.device import use_device

    use_device("cpu")
    yield
    use_device("cpu")
