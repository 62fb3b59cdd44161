"""How a training run is doing, in one line: where it is, its loss, its pace and the time left."""

from __future__ import annotations

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from vistr.text.durations import duration_text

logger = logging.getLogger(__name__)


class Progress:
    """Times the steps of a run and logs a line about them.

    The pace is the median of the latest steps, so that a compilation or a hiccup does not count. What happens
    inside `aside` (evaluation, checkpoints) is no part of the pace; the time left expects as much of it for
    each step to come as there was for each step so far.

    Args:
        num_epochs, total_steps: what the run is going to do, from its very beginning.
        start_step: steps done before, in a run that goes on.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        *,
        num_epochs: int,
        total_steps: int,
        start_step: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._num_epochs, self._total_steps = num_epochs, total_steps
        self._first_step = self._step = start_step
        self._clock = clock
        self._since = clock()
        self._aside = 0.0
        self._durations: deque[float] = deque(maxlen=50)
        self._clips: deque[int] = deque(maxlen=50)

    def step(self, num_clips: int) -> None:
        """Tells that one more step, of this many clips, is done."""
        now = self._clock()
        self._step += 1
        # The first step compiles: it counts only until there is a second.
        if self._step == self._first_step + 2:
            self._durations.clear()
            self._clips.clear()
        self._durations.append(now - self._since)
        self._clips.append(num_clips)
        self._since = now

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Times something between two steps that is not training."""
        started = self._clock()
        try:
            yield
        finally:
            duration = self._clock() - started
            self._aside += duration
            self._since += duration

    @property
    def clips_per_second(self) -> float:
        """Clips trained on in a second at the present pace, nan before the first step."""
        if not self._durations:
            return float("nan")
        return statistics.fmean(self._clips) / max(statistics.median(self._durations), 1e-9)

    @property
    def seconds_left(self) -> float:
        """The time until the last step is done, nan before the first."""
        if not self._durations:
            return float("nan")
        each = statistics.median(self._durations) + self._aside / (self._step - self._first_step)
        return max(self._total_steps - self._step, 0) * each

    def log(
        self,
        epoch: int,
        losses: Mapping[str, float],
        *,
        learning_rate: float,
        grad_norm: float,
        memory_gb: float,
    ) -> None:
        """Logs the line. `epoch` counts from 1; `losses` has "loss", the sum, and its parts by name."""
        parts = " ".join(f"{name} {value:.3g}" for name, value in losses.items() if name != "loss")
        logger.info(
            " | ".join(
                (
                    f"epoch {epoch}/{self._num_epochs} step {self._step}/{self._total_steps}",
                    f"loss {losses['loss']:.4g}" + (f" ({parts})" if parts else ""),
                    f"lr {learning_rate:.3g}",
                    f"grad {grad_norm:.3g}",
                    f"{self.clips_per_second:.2g} clips/s",
                    f"{memory_gb:.1f} GB",
                    f"{duration_text(self.seconds_left)} left",
                )
            )
        )
