"""Clips of several sources in one epoch, in given shares, the same on every rank and after every resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vistr.data.buckets import Size
from vistr.data.clip_sources import Clip, ClipSource


class Mixture(ClipSource):
    """Clips of several sources, `ratios` of each (any scale); with no ratios every clip of all sources once an epoch.

    An epoch has `epoch_clips` clips, None: as many as the sources have together. A source whose share is another
    number than it has goes on in the next epoch where it stopped: no clip comes again before all others have come. In
    which order is drawn from `seed` anew for each time round.
    """

    def __init__(
        self,
        parts: Mapping[str, ClipSource],
        ratios: Sequence[float] = (),
        *,
        seed: int,
        epoch_clips: int | None = None,
    ) -> None:
        self.names, self.parts = tuple(parts), list(parts.values())
        self.seed = seed
        sizes = [len(part) for part in self.parts]
        self.counts = shares(ratios or sizes, sum(sizes) if epoch_clips is None else epoch_clips)
        self.starts = np.cumsum([0, *self.counts])
        self.sizes = tuple(dict.fromkeys(size for part in self.parts for size in part.sizes))
        self.marks_outside = any(part.marks_outside for part in self.parts)
        self._order = lru_cache(maxsize=2 * len(self.parts))(self._draw_order)

    def __len__(self) -> int:
        """The number of clips an epoch has."""
        return int(self.starts[-1])

    def padded_size(self, clip: int, epoch: int, rng: np.random.Generator) -> Size:
        """As the clip's own source pads it."""
        part, number = self.place(clip, epoch)
        return self.parts[part].padded_size(number, epoch, rng)

    def load(self, clip: int, epoch: int, rng: np.random.Generator) -> Clip:
        """A clip of one of the sources, whose name its targets carry."""
        part, number = self.place(clip, epoch)
        frames, targets = self.parts[part].load(number, epoch, rng)
        targets.source = self.names[part]
        if self.marks_outside and targets.outside is None:
            # Training is compiled for targets that have it or for those that have not.
            targets.outside = np.zeros(frames.shape[:3], bool)
        return frames, targets

    def place(self, clip: int, epoch: int) -> tuple[int, int]:
        """The position of a clip's source and the clip's number in it; clips are numbered source by source."""
        part = int(np.searchsorted(self.starts, clip, side="right")) - 1
        drawn_before = epoch * self.counts[part] + clip - int(self.starts[part])
        time_round, position = divmod(drawn_before, len(self.parts[part]))
        return part, int(self._order(part, time_round)[position])

    def _draw_order(self, part: int, time_round: int) -> NDArray[np.int64]:
        key = np.random.SeedSequence(self.seed, spawn_key=(part, time_round, 0))
        return np.random.default_rng(key).permutation(len(self.parts[part]))


def shares(ratios: Sequence[float], total: int) -> list[int]:
    """`total` as whole numbers in the given ratios, as near as can be, each at least 1."""
    exact = np.asarray(ratios, np.float64) / sum(ratios) * total
    counts = np.floor(exact).astype(int)
    nearest = np.argsort(counts - exact, kind="stable")
    counts[nearest[: total - counts.sum()]] += 1
    return [max(int(count), 1) for count in counts]
