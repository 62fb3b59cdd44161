"""What is said while frames are worked on."""

from __future__ import annotations

import io
import logging

import pytest

from vistr.inference.frame_progress import FrameProgress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_pace_leaves_the_first_clips_compilation_out() -> None:
    clock = Clock()
    progress = FrameProgress("walk: searched", 100, stream=io.StringIO(), clock=clock)
    clock.now = 20
    progress.reach(36)
    assert progress.line() == "walk: searched 36/100 frames"
    assert progress.frames_per_second == 1.8
    clock.now = 24
    progress.reach(56)
    assert progress.line() == "walk: searched 56/100 frames, 5 frames/s, 9s left"


def test_no_time_left_is_said_where_the_length_is_not_known() -> None:
    clock = Clock()
    progress = FrameProgress("walk", None, stream=io.StringIO(), clock=clock)
    assert progress.line() == "walk 0 frames"
    for clock.now, count in ((2, 10), (4, 20)):
        progress.reach(count)
    assert progress.line() == "walk 20 frames, 5 frames/s"


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    clock, terminal = Clock(), Terminal()
    progress = FrameProgress("walk", 4, stream=terminal, clock=clock)
    for _ in progress.follow(range(4)):
        clock.now += 1
    written = terminal.getvalue()
    assert "[############............] walk 2/4 frames, 1 frames/s, 2s left" in written
    assert written.endswith("\r\x1b[K")
    assert "\n" not in written


def test_elsewhere_a_line_comes_every_half_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock, stream = Clock(), io.StringIO()
    progress = FrameProgress("walk", 1000, stream=stream, clock=clock)
    for _ in progress.follow(range(100)):
        clock.now += 1
    assert stream.getvalue() == ""
    assert [message.split(",")[0] for message in caplog.messages] == [
        f"walk {number}/1000 frames" for number in (30, 60, 90)
    ]
