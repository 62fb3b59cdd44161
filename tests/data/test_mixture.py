"""Mixtures: given shares in every epoch, one order for all ranks, exact after a resume, nothing left out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from vistr.data.buckets import Size
from vistr.data.clip_sources import Clip, ClipSource, VideoClips
from vistr.data.loader import ClipLoader
from vistr.data.mixture import Mixture, shares
from vistr.data.settings import Augmentation

PLAIN = Augmentation(flip=0.5, resize_short=[], photometric=False, crop_resize_short=[])


class Numbered(ClipSource):
    """A source of numbers alone."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def padded_size(self, clip: int, epoch: int, rng: np.random.Generator) -> Size:
        return 8, 8

    def load(self, clip: int, epoch: int, rng: np.random.Generator) -> Clip:
        raise NotImplementedError


def clips_of(video_set: Any, augmentation: Augmentation = PLAIN, short_side: int = 48, **changes: Any) -> VideoClips:
    size = {"short_side": short_side, "long_side": 4 * short_side, "size_divisor": 8}
    return VideoClips(video_set, num_frames=2, augmentation=augmentation, **size, **changes)


def loader(clips: ClipSource, **changes: Any) -> ClipLoader:
    return ClipLoader(clips, **{"batch_size": 1, "seed": 5, "num_workers": 0, "shuffle": True, **changes})


def seen(batches: Any) -> list[tuple[str, int, int]]:
    return [(t.source, t.video_id, t.frames[-1]) for batch in batches for t in batch.targets]


@pytest.mark.parametrize(
    ("ratios", "total", "expected"),
    [([1.0, 0.75], 700, [400, 300]), ([1, 1, 1], 8, [3, 3, 2]), ([1e9, 1], 5, [5, 1]), ([0.1, 0.2], 3, [1, 2])],
)
def test_shares_are_whole_numbers_as_near_as_can_be(ratios: list[float], total: int, expected: list[int]) -> None:
    assert shares(ratios, total) == expected


def test_every_epoch_has_the_ratios_and_each_source_goes_round_before_a_clip_comes_again() -> None:
    mixture = Mixture({"a": Numbered(10), "b": Numbered(3)}, [1.0, 0.75], seed=0, epoch_clips=7)
    drawn: dict[int, list[int]] = {0: [], 1: []}
    for epoch in range(5):
        places = [mixture.place(clip, epoch) for clip in range(len(mixture))]
        assert Counter(part for part, _ in places) == {0: 4, 1: 3}
        for part, number in places:
            drawn[part].append(number)
    # 20 clips of a are two times round, 15 of b five times.
    for part, size in ((0, 10), (1, 3)):
        rounds = [drawn[part][i : i + size] for i in range(0, len(drawn[part]), size)]
        assert all(sorted(one) == list(range(size)) for one in rounds)
        assert len({tuple(one) for one in rounds}) > 1


def test_without_ratios_every_clip_of_all_sources_comes_once() -> None:
    mixture = Mixture({"a": Numbered(10), "b": Numbered(3)}, seed=0)
    for epoch in range(2):
        places = sorted(mixture.place(clip, epoch) for clip in range(len(mixture)))
        assert places == [(0, i) for i in range(10)] + [(1, i) for i in range(3)]


def test_the_seed_decides_which_clips_come() -> None:
    def numbers(seed: int) -> list[tuple[int, int]]:
        mixture = Mixture({"a": Numbered(100), "b": Numbered(100)}, [1, 1], seed=seed, epoch_clips=10)
        return [mixture.place(clip, 0) for clip in range(10)]

    assert numbers(1) == numbers(1)
    assert numbers(1) != numbers(2)


@pytest.fixture
def mixture(tiny: Any) -> Mixture:
    """Two sources with sizes and augmentation of their own, one of which comes three times an epoch."""
    large, small = tiny(9).read(), tiny(2).read()
    parts = {"large": clips_of(large), "small": clips_of(small, Augmentation(crop_resize_short=[]), short_side=32)}
    return Mixture(parts, [1, 1], seed=5, epoch_clips=12)


def test_clips_carry_their_source_and_are_made_as_it_says(mixture: Mixture) -> None:
    batches = list(loader(mixture).epoch(0))
    sources = [batch.targets[0].source for batch in batches]
    assert Counter(sources) == {"large": 6, "small": 6}
    assert sources != sorted(sources)  # shuffled together
    assert {b.targets[0].size[0] for b in batches if b.targets[0].source == "large"} == {48}
    assert {min(b.targets[0].size) for b in batches if b.targets[0].source == "small"} == {32}
    # The same clip again is changed anew.
    again = [b.frames for b in batches if b.targets[0].source == "small" and b.targets[0].frames[-1] == 0]
    assert len(again) == 3
    assert any(not np.array_equal(again[0], other) for other in again[1:])


@pytest.mark.parametrize("start", [1, 5, 11])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_goes_on_anywhere_byte_by_byte(mixture: Mixture, start: int, num_workers: int) -> None:
    whole = list(loader(mixture).epoch(1))
    resumed = list(loader(mixture, num_workers=num_workers).epoch(1, start))
    assert seen(resumed) == seen(whole[start:])
    for one, other in zip(resumed, whole[start:], strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.targets[0].masks, other.targets[0].masks)


def test_ranks_share_one_stream_whatever_their_number_and_batch(mixture: Mixture) -> None:
    alone = seen(loader(mixture).epoch(2))
    for size in (2, 3):
        ranks = [seen(loader(mixture, shard=(rank, size), batch_size=2).epoch(2)) for rank in range(size)]
        assert [ranks[i % size][i // size] for i in range(12)] == alone


def test_batches_of_several_sources_are_padded_to_the_largest(mixture: Mixture) -> None:
    (batch,) = loader(mixture, batch_size=12).epoch(0)
    assert {target.source for target in batch.targets} == {"large", "small"}
    assert batch.frames.shape[2:4] == (48, max(target.size[1] for target in batch.targets))
    assert all(target.masks.shape[2:] == batch.frames.shape[2:4] for target in batch.targets)


def test_sources_keep_the_few_sizes_of_their_own(tiny: Any) -> None:
    video_set = tiny(9).read()
    parts = {"a": clips_of(video_set, sizes=((48, 64),)), "b": clips_of(video_set, short_side=32, sizes=((32, 128),))}
    mixture = Mixture(parts, seed=5)
    assert mixture.sizes == ((48, 64), (32, 128))
    batches = list(loader(mixture).epoch(0))
    assert {batch.frames.shape[2:4] for batch in batches if batch.targets[0].source == "a"} == {(48, 64)}
    assert {batch.frames.shape[2:4] for batch in batches if batch.targets[0].source == "b"} == {(32, 128)}
