"""Losses and clips of every part of a mixture, apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vistr.data.clips import Batch
from vistr.losses.by_clip import BY_CLIP
from vistr.losses.criterion import LOSSES
from vistr.runtime.parallel import Ranks
from vistr.training.tracking import Tracker

SHOWN = ("loss", *LOSSES)


class BySource:
    """What the clips of each source cost: tags such as "source/coco/loss", none without a mixture.

    The loss of a source in a step is what its clips add to the step's loss, divided by their share of the clips: where
    all sources cost the same it is the step's loss. Of batches with clips of several sources only the losses in BY_CLIP
    are known by source: the others are those of batches of one source.
    """

    def __init__(self, names: Sequence[str], tracker: Tracker) -> None:
        self.names = names
        tags = {name: f"source/{name}/clips" for name in names}
        # The records have what a run saw before it was interrupted.
        known = tracker.latest(*tags.values())
        self.seen = {name: known.get(tag, 0.0) for name, tag in tags.items()}
        self._start()

    def _start(self) -> None:
        self.clips = dict.fromkeys(self.names, 0.0)
        self.alone = dict.fromkeys(self.names, 0.0)
        self.sums = {name: dict.fromkeys(SHOWN, 0.0) for name in self.names}

    def add(self, batch: Batch, losses: Mapping[str, float], by_clip: Mapping[str, NDArray[np.float64]]) -> None:
        """Count a batch, whose losses, and those of its clips if it has several, are parts of the step's."""
        if not self.names:
            return
        sources = [target.source for target in batch.targets]
        for source in sources:
            self.clips[source] += 1
        if len(set(sources)) == 1:
            self.alone[sources[0]] += len(sources)
            for name, total in self.sums[sources[0]].items():
                self.sums[sources[0]][name] = total + losses[name]
            return
        for name in BY_CLIP:
            for source, value in zip(sources, by_clip[name], strict=True):
                self.sums[source][name] += float(value)

    def figures(self, ranks: Ranks) -> dict[str, float]:
        """Those of the step that ends here, of all ranks; clips are those since the run began."""
        if not self.names:
            return {}
        rows = [[self.clips[name], self.alone[name], *self.sums[name].values()] for name in self.names]
        width = len(rows[0])
        together = ranks.sum([value for row in rows for value in row])
        self._start()
        total, found = sum(together[::width]), {}
        for i, source in enumerate(self.names):
            clips, alone, *sums = together[i * width : (i + 1) * width]
            self.seen[source] += clips
            found[f"source/{source}/clips"] = self.seen[source]
            for name, value in zip(SHOWN, sums, strict=True):
                if counted := clips if name in BY_CLIP else alone:
                    found[f"source/{source}/{name}"] = value * total / counted
        return found
