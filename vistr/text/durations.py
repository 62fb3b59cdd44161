"""Durations as people say them."""

from __future__ import annotations

import math


def duration_text(seconds: float) -> str:
    """A duration as people say it: "41s", "12m", "3h05m", "2d04h"; "?" where it is not known."""
    if math.isnan(seconds):
        return "?"
    if seconds < 99.5:
        return f"{seconds:.0f}s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours < 48 else f"{hours // 24}d{hours % 24:02d}h"
