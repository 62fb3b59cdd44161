"""Requests to stop: one that comes as several signals is one, a second one stops at once."""

from __future__ import annotations

import signal

import pytest

from vistr.runtime import signals as stopping
from vistr.runtime.signals import stop_requests


def test_a_signal_that_several_pass_on_counts_once_and_a_later_one_stops_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now)
    with stop_requests() as requested:
        assert not requested()
        signal.raise_signal(signal.SIGTERM)  # the cluster's
        now += 0.9
        signal.raise_signal(signal.SIGTERM)  # the launcher's
        signal.raise_signal(signal.SIGINT)
        assert requested()
        now += 0.2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
