"""Frames much longer than they are wide, which a resize without a limit on the long side makes large."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)
MOST = 3.0
"""How many times longer than wide frames may be before it is said what they cost."""


def memory_gb(num_frames: int, height: int, width: int) -> float:
    """About what inference with a ResNet-50 network takes on a CPU, float32.

    A part grows with the pixels, and one head's attention weights, three copies of them, with their square. The
    factors are a fit to two measurements, one of 36 frames of 300x540 (3.7 GB), one of longer frames: a rough figure.
    """
    tokens = num_frames * -(-height // 32) * -(-width // 32)
    return 2.5 + 0.21e-6 * num_frames * height * width + 12e-9 * max(0, tokens * tokens - 40_000_000)


class LongFrames:
    """Says once what long frames cost."""

    def __init__(self) -> None:
        self.said = False

    def see(self, num_frames: int, video_size: tuple[int, int], size: tuple[int, int]) -> None:
        """Warn of the first clip whose frames, (height, width) `size` after the resize, are longer than `MOST` to 1."""
        ratio = max(video_size) / min(video_size)
        if self.said or ratio <= MOST:
            return
        self.said = True
        logger.warning(
            "frames of %dx%d are %.1f times as long as wide: at %dx%d a clip of %d takes about %.0f GB of memory; "
            "dataset.eval_long_side= sets a limit",
            *(*reversed(video_size), ratio, *reversed(size), num_frames, memory_gb(num_frames, *size)),
        )
