"""What long frames cost is said once."""

from __future__ import annotations

import logging

import pytest

from vistr.inference.long_frames import LongFrames, memory_gb


def test_one_warning_with_the_memory_beyond_three_to_one(caplog: pytest.LogCaptureFixture) -> None:
    frames = LongFrames()
    with caplog.at_level(logging.WARNING):
        frames.see(36, (360, 1080), (300, 900))
        assert not caplog.messages
        for _ in range(2):
            frames.see(36, (360, 1440), (300, 1200))
    (said,) = caplog.messages
    assert "1440x360 are 4.0 times" in said
    assert f"about {memory_gb(36, 300, 1200):.0f} GB" in said
    assert "dataset.eval_long_side=" in said


def test_memory_grows_with_the_square_of_the_length() -> None:
    short, middle, long = (memory_gb(36, 300, width) for width in (540, 1080, 2160))
    assert short == pytest.approx(3.7, abs=0.1)  # what task=benchmark measures there
    assert long - middle > 2 * (middle - short)
