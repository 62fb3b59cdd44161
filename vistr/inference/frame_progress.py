"""Progress over a video's frames: a bar on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

from vistr.text.durations import duration_text

logger = logging.getLogger(__name__)
Item = TypeVar("Item")

BAR_WIDTH, BAR_SECONDS, LINE_SECONDS = 24, 0.2, 30.0


class FrameProgress:
    """Says how many frames are done, frames per second, and the time left where the total is known.

    The pace leaves the first report out once there is a second: a network compiles on its first clip.

    Args:
        what: what is done to the frames, such as "street: tracks".
        total: frames there are, None where that is not known.
        stream: where a bar is drawn if it is a terminal; otherwise a line is logged every half minute.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        what: str,
        total: int | None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._total, self._clock = what, total, clock
        self._stream = sys.stderr if stream is None else stream
        self._bar = self._stream.isatty()
        self._started = self._said = clock()
        self._first: tuple[float, int] | None = None
        self.num_done = 0

    def follow(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, each counted as a frame that is done when the next one is asked for."""
        try:
            for count, item in enumerate(items, 1):
                yield item
                self.reach(count)
        finally:
            self.clear()

    def reach(self, num_done: int) -> None:
        """Set the number of frames done."""
        now = self._clock()
        self.num_done = num_done
        if self._first is None:
            self._first = (now, num_done)
        if now - self._said >= (BAR_SECONDS if self._bar else LINE_SECONDS):
            self._said = now
            if self._bar:
                self._stream.write(f"\r{self._drawn()}\x1b[K")
                self._stream.flush()
            else:
                logger.info("%s", self.line())

    def clear(self) -> None:
        """Take the bar off the terminal."""
        if self._bar:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    @property
    def frames_per_second(self) -> float:
        """The pace, nan before any frame."""
        if self._first is None:
            return float("nan")
        since, before = self._first
        if self.num_done == before:
            since, before = self._started, 0
        return (self.num_done - before) / max(self._clock() - since, 1e-9)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._clock() - self._started

    def line(self) -> str:
        """Where things stand, such as "street: tracks 40/250 frames, 3.1 frames/s, 68s left"."""
        # The first clip's time is a compilation's: no pace to go by.
        pace = math.nan if self._first and self.num_done == self._first[1] else self.frames_per_second
        parts = [f"{self._what} {self.num_done}{f'/{self._total}' if self._total else ''} frames"]
        if not math.isnan(pace):
            parts.append(f"{pace:.3g} frames/s")
            if self._total:
                parts.append(f"{duration_text(max(self._total - self.num_done, 0) / max(pace, 1e-9))} left")
        return ", ".join(parts)

    def _drawn(self) -> str:
        if not self._total:
            return self.line()
        full = min(round(BAR_WIDTH * self.num_done / self._total), BAR_WIDTH)
        return f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] {self.line()}"
