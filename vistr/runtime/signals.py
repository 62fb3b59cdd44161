"""Requests to stop by SIGINT and SIGTERM: a run saves after its present step and ends."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

logger = logging.getLogger(__name__)
# One request comes as several signals: SLURM signals every process of a job, and the launcher passes its own on.
REPEAT_SECONDS = 1.0


class StopRequests:
    """Signals that ask to stop, counted as those who send them mean it."""

    def __init__(self) -> None:
        self.first: float | None = None

    @property
    def came(self) -> bool:
        """Whether there was any."""
        return self.first is not None

    def take(self) -> Literal["first", "repeated", "further"]:
        """Whether a signal that has just come is the first request, the same one once more, or a further one."""
        now = time.monotonic()
        if self.first is None:
            self.first = now
            return "first"
        return "repeated" if now - self.first < REPEAT_SECONDS else "further"


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Handle SIGINT and SIGTERM in the body; yields whether one came, as a function. A second Ctrl-C stops at once."""
    requests = StopRequests()

    def note(number: int, frame: FrameType | None) -> None:
        request = requests.take()
        if request == "further":
            raise KeyboardInterrupt
        if request == "first":
            logger.info("stopping after this step (once more to stop at once)")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: requests.came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
