"""Batches of clips, decoded in parallel ahead of their use and the same whatever the number of workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice

import numpy as np

from vistr.data.buckets import Size
from vistr.data.clip_sources import Clip, ClipSource
from vistr.data.clips import Batch
from vistr.data.samples import collate

# Clips of one size that come together: a multiple of most numbers of ranks.
GROUP = 16


class ClipLoader:
    """The clips of a source once an epoch, in batches.

    `shard` is (rank, number of ranks): ranks take turns along the epoch's order, so that together they see what one
    process with a batch that many times larger sees. All ranks have the same number of batches: where the last clips
    of an epoch do not go round all ranks, they (fewer than there are ranks; others every epoch if shuffled) are left
    out. With `drop_last` so are those that do not fill all ranks' batches, if any are full: what is compiled for full
    batches serves all.

    Clips that their source pads to one of a few sizes come in groups of one size, so that in a step all ranks compute
    at one size; the last clips of an epoch, too few for a group, come together.

    At most `prefetch` batches (one clip a worker, where that is more) are loading or waiting at a time; with
    num_workers 0 clips are loaded when asked for.
    """

    def __init__(
        self,
        clips: ClipSource,
        *,
        batch_size: int,
        seed: int,
        num_workers: int,
        shuffle: bool,
        shard: tuple[int, int] = (0, 1),
        prefetch: int = 2,
        drop_last: bool = False,
    ) -> None:
        self.clips = clips
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers
        self.shuffle = shuffle
        self.rank, self.num_ranks = shard
        self.window = max(prefetch * batch_size, num_workers)
        self.clips_a_step = batch_size * self.num_ranks
        # Of all ranks together; with fewer they have no last batch.
        self.fewest_clips = self.clips_a_step if drop_last and len(self.clips) >= self.clips_a_step else self.num_ranks

    def __len__(self) -> int:
        """Batches an epoch, the last of them perhaps smaller."""
        return self.num_batches(0)

    def num_batches(self, start: int) -> int:
        """Batches that are left of an epoch of whose order the ranks together have seen `start` clips."""
        num_rounds, left_over = divmod(len(self.clips) - start, self.clips_a_step)
        return num_rounds + (left_over >= self.fewest_clips)

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """The epoch's batches after the first `start` clips of its order, which are skipped without being decoded.

        `start` counts the clips of all ranks, so that another number of ranks, or another batch size, may go on.

        Order and augmentation depend on the seed, the epoch and the clip alone. UserError, when its batch is
        reached, for an image that cannot be used. Closing the iterator ends its threads.
        """
        order = self._order(epoch, start)
        with closing(self._clips(order, epoch)) as clips:
            while batch := list(islice(clips, self.batch_size)):
                yield collate(batch)

    def _order(self, epoch: int, start: int) -> Iterator[int]:
        """This rank's clips of the epoch after the first `start` of all, in order."""
        order = np.arange(len(self.clips))
        if self.shuffle:
            np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch,))).shuffle(order)
        end, left_over = len(order), (len(order) - start) % self.clips_a_step
        if left_over < self.fewest_clips:
            end -= left_over
        clips: Iterator[int] = map(int, order)
        if self.shuffle and len(self.clips.sizes) > 1:
            clips = grouped(clips, lambda clip: self.clips.padded_size(clip, epoch, self._generator(clip, epoch)))
        return islice(clips, start + self.rank, end, self.num_ranks)

    def _generator(self, clip: int, epoch: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch, clip)))

    def _load(self, clip: int, epoch: int) -> Clip:
        return self.clips.load(clip, epoch, self._generator(clip, epoch))

    def _clips(self, order: Iterable[int], epoch: int) -> Generator[Clip, None, None]:
        if self.num_workers == 0:
            yield from (self._load(clip, epoch) for clip in order)
            return
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="clips")
        try:
            coming: deque[Future[Clip]] = deque()
            for clip in order:
                coming.append(pool.submit(self._load, clip, epoch))
                if len(coming) > self.window:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def grouped(clips: Iterable[int], size_of: Callable[[int], Size]) -> Iterator[int]:
    """The clips in groups of GROUP that have one size, each group as soon as it is full; what is left over by size."""
    waiting: dict[Size, list[int]] = {}
    for clip in clips:
        group = waiting.setdefault(size_of(clip), [])
        group.append(clip)
        if len(group) == GROUP:
            yield from group
            group.clear()
    for _, group in sorted(waiting.items()):
        yield from group
