"""The progress line and its estimate of the time left."""

from __future__ import annotations

import logging
import math

import pytest

from vistr.training.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(progress: Progress, clock: Clock, *durations: float, clips: int = 2) -> None:
    for duration in durations:
        clock.now += duration
        progress.step(clips)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_compiling_in_the_first_step_does_not_count(clock: Clock) -> None:
    progress = Progress(num_epochs=1, total_steps=100, clock=clock)
    run(progress, clock, 60)
    assert progress.seconds_left == pytest.approx(99 * 60)  # all that is known so far
    run(progress, clock, 0.5, 0.5, 0.5)
    assert progress.seconds_left == pytest.approx(96 * 0.5)
    assert progress.clips_per_second == pytest.approx(4)


def test_one_slow_step_does_not_upset_the_pace(clock: Clock) -> None:
    progress = Progress(num_epochs=1, total_steps=100, clock=clock)
    run(progress, clock, 1, 1, 1, 40, 1, 1)
    assert progress.clips_per_second == pytest.approx(2)


def test_evaluation_is_no_part_of_the_pace_but_of_the_time_left(clock: Clock) -> None:
    progress = Progress(num_epochs=2, total_steps=20, clock=clock)
    run(progress, clock, *[1] * 10)
    with progress.aside():
        clock.now += 30
    assert progress.clips_per_second == pytest.approx(2)
    assert progress.seconds_left == pytest.approx(10 * 1 + 30)  # the second epoch evaluates as well
    run(progress, clock, 1)
    assert progress.clips_per_second == pytest.approx(2)


def test_a_resumed_run_counts_only_the_steps_that_are_left(clock: Clock) -> None:
    progress = Progress(num_epochs=1, total_steps=100, start_step=90, clock=clock)
    assert math.isnan(progress.seconds_left)
    run(progress, clock, 20, 2, 2)
    assert progress.seconds_left == pytest.approx(7 * 2)


def test_the_line_says_it_all(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress(num_epochs=18, total_steps=5000, start_step=118, clock=clock)
    run(progress, clock, 9, 0.5)
    with caplog.at_level(logging.INFO, logger="vistr"):
        progress.log(
            3,
            {"loss": 12.345, "class": 1.2, "box": 0.0456},
            learning_rate=1e-4,
            grad_norm=12.1,
            memory_gb=2.13,
        )
    assert caplog.messages == [
        "epoch 3/18 step 120/5000 | loss 12.35 (class 1.2 box 0.0456) | lr 0.0001 | grad 12.1 | 4 clips/s | "
        "2.1 GB | 41m left"
    ]
