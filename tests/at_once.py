"""Work that ends at once, held without a stopwatch's precision."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_once() -> Iterator[None]:
    """Holds that a block of about a second stays under 30 s of its own thread's CPU time.

    What it is there to find takes minutes, or never ends. The process's time would count MindSpore's threads too.
    """
    started = time.thread_time()
    yield
    assert time.thread_time() - started < 30
