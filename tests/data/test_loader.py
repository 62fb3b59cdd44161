"""Batches: the same whatever the workers, resumed exactly, sharded without overlap, closed cleanly."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from vistr.data import clip_sources
from vistr.data.buckets import few_sizes
from vistr.data.clip_sources import VideoClips
from vistr.data.loader import GROUP, ClipLoader
from vistr.data.samples import open_frame
from vistr.data.settings import Augmentation
from vistr.errors import UserError
from vistr.inference.video_clips import ClipSettings, clips_of

RECIPE = Augmentation(resize_short=[40, 48, 56], resize_long=90, crop_resize_short=[40, 50], crop_min=30, crop_max=48)


def make(video_set, **changes) -> ClipLoader:
    clips = {"num_frames": 3, "augmentation": RECIPE, "short_side": 32, "long_side": 60, "size_divisor": 8, "sizes": ()}
    loading = {"batch_size": 2, "seed": 5, "num_workers": 0, "shuffle": True}
    of_clips = {key: changes.pop(key, value) for key, value in clips.items()}
    return ClipLoader(VideoClips(video_set, **of_clips), **{**loading, **changes})


def last_frames(batches) -> list[tuple[int, int]]:
    return [(targets.video_id, targets.frames[-1]) for batch in batches for targets in batch.targets]


def assert_same(first, second) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.padding, other.padding)
        for targets, others in zip(one.targets, other.targets, strict=True):
            for name, value in vars(targets).items():
                np.testing.assert_array_equal(value, getattr(others, name))


def test_an_epoch_shows_every_frame_once_as_a_last_frame(tiny):
    video_set = tiny(5, 2).read()
    loader = make(video_set)
    batches = list(loader.epoch(0))
    assert len(batches) == len(loader) == 4
    assert [len(batch.targets) for batch in batches] == [2, 2, 2, 1]
    assert sorted(last_frames(batches)) == [(100, frame) for frame in range(5)] + [(101, 0), (101, 1)]


@pytest.mark.parametrize(("num_workers", "prefetch"), [(1, 1), (3, 2), (8, 1)])
def test_batches_are_the_same_whatever_the_number_of_workers(tiny, num_workers, prefetch):
    video_set = tiny(5, 2).read()
    alone = list(make(video_set).epoch(1))
    assert_same(alone, list(make(video_set, num_workers=num_workers, prefetch=prefetch).epoch(1)))


def test_order_and_augmentation_change_with_the_epoch_and_the_seed(tiny):
    video_set = tiny(9).read()
    orders = [last_frames(make(video_set, seed=seed).epoch(epoch)) for seed, epoch in [(5, 0), (5, 1), (6, 0), (5, 0)]]
    assert orders[0] == orders[3]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]
    fixed = make(video_set, shuffle=False, batch_size=9)
    first, second = (next(iter(fixed.epoch(epoch))) for epoch in (0, 1))
    assert last_frames([first]) == last_frames([second]) == [(100, frame) for frame in range(9)]
    assert first.frames.shape != second.frames.shape or not np.array_equal(first.frames, second.frames)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_start_resumes_exactly_and_decodes_nothing_before(tiny, num_workers, monkeypatch):
    video_set = tiny(5, 4).read()
    whole = list(make(video_set).epoch(2))
    decoded = []
    original = clip_sources.load_frames
    monkeypatch.setattr(
        clip_sources,
        "load_frames",
        lambda *args, **options: (decoded.append(args[2][-1]), original(*args, **options))[1],
    )
    resumed = list(make(video_set, num_workers=num_workers).epoch(2, start=6))
    assert_same(whole[3:], resumed)
    assert len(decoded) == 9 - 3 * 2
    assert list(make(video_set, num_workers=num_workers).epoch(2, start=10)) == []


@pytest.mark.parametrize("lengths", [(8,), (9,), (10,), (11,), (12,), (13,), (3, 7)])
@pytest.mark.parametrize("num_ranks", [2, 3])
def test_shards_are_disjoint_complete_and_of_equal_length(tiny, lengths, num_ranks):
    video_set = tiny(*lengths).read()
    shards = [make(video_set, shard=(rank, num_ranks)) for rank in range(num_ranks)]
    seen = [last_frames(shard.epoch(0)) for shard in shards]
    assert len({len(shard) for shard in shards}) == 1
    together = [clip for shard in seen for clip in shard]
    assert len(set(together)) == len(together)
    # Only clips that do not go round all ranks may be missing.
    assert 0 <= sum(lengths) - len(together) < num_ranks
    assert all(len(list(shard.epoch(0))) == len(shard) for shard in shards)


@pytest.mark.parametrize(("num_ranks", "lengths"), [(1, (7,)), (2, (11,)), (3, (5, 12))])
def test_batches_can_all_be_full(tiny, lengths, num_ranks):
    video_set = tiny(*lengths).read()
    shards = [make(video_set, shard=(rank, num_ranks), drop_last=True) for rank in range(num_ranks)]
    for shard in shards:
        assert [len(batch.targets) for batch in shard.epoch(0)] == [2] * (sum(lengths) // (2 * num_ranks))
        assert len(shard) == sum(lengths) // (2 * num_ranks)
    # The same clips as without, less those of the last batch.
    whole = [last_frames(make(video_set, shard=(rank, num_ranks)).epoch(0)) for rank in range(num_ranks)]
    assert [last_frames(shard.epoch(0)) for shard in shards] == [clips[: 2 * len(shards[0])] for clips in whole]


def test_of_fewer_clips_than_a_batch_none_is_dropped(tiny):
    loader = make(tiny(3).read(), batch_size=4, drop_last=True)
    assert [len(batch.targets) for batch in loader.epoch(0)] == [3]
    assert len(loader) == 1


def test_ranks_together_see_the_batches_of_one_process(tiny):
    video_set = tiny(8).read()
    whole = list(make(video_set, batch_size=4).epoch(0))
    shards = [list(make(video_set, batch_size=2, shard=(rank, 2)).epoch(0)) for rank in range(2)]
    for number, batch in enumerate(whole):
        parts = last_frames([shards[0][number], shards[1][number]])
        assert sorted(parts) == sorted(last_frames([batch]))


def clip_for_evaluation(video_set, order, short_side, long_side, size_divisor):
    """What inference makes of the first video's frames, in this order: frames, padding and the unpadded size."""
    frames = [open_frame(video_set, video_set.videos[0], frame) for frame in order]
    clip = next(clips_of(frames, ClipSettings(len(order), short_side, long_side, size_divisor, 0.5)))
    return *clip.network_input(size_divisor), clip.size


def test_in_a_step_all_ranks_have_clips_of_one_size(tiny):
    video_set = tiny(70, 31).read()
    sizes = few_sizes(RECIPE, 32, 60, 8)
    ranks = [make(video_set, batch_size=1, shard=(rank, 4), sizes=sizes, num_frames=1) for rank in range(4)]
    steps = list(zip(*(loader.epoch(0) for loader in ranks), strict=True))
    met = [{batch.padding.shape[2:] for batch in step} for step in steps]
    # An epoch's last clips are too few for a group of each size.
    assert all(len(one) == 1 for one in met[: -3 * GROUP // 4])
    assert len(set().union(*met)) > 1
    assert set().union(*met) <= set(sizes)
    seen = last_frames(batch for step in steps for batch in step)
    assert len(seen) == len(set(seen)) == 100
    alone = list(make(video_set, batch_size=1, sizes=sizes, num_frames=1).epoch(0))
    assert last_frames(alone)[:100] == seen
    resumed = list(make(video_set, batch_size=1, sizes=sizes, num_frames=1).epoch(0, start=40))
    assert_same(resumed, alone[40:])


def test_without_a_augmentation_clips_are_only_resized(tiny):
    video_set = tiny(3).read()
    loader = make(video_set, augmentation=None, shuffle=False, batch_size=1, short_side=24, long_side=60)
    batch = next(iter(loader.epoch(0)))
    assert batch.targets[0].size == (24, 32)
    assert batch.targets[0].frames == [1, 2, 0]
    frames, padding, size = clip_for_evaluation(video_set, [1, 2, 0], 24, 60, 8)
    assert size == (24, 32)
    np.testing.assert_array_equal(frames, batch.frames)
    np.testing.assert_array_equal(padding, batch.padding)


def test_a_clip_for_evaluation_says_what_is_padding(tiny):
    video_set = tiny(2).read()
    frames, padding, size = clip_for_evaluation(video_set, [0, 1, 0], 30, 60, 32)
    assert frames.shape == (1, 3, 32, 64, 3)
    assert size == (30, 40)
    assert (~padding).sum() == 3 * 30 * 40
    np.testing.assert_array_equal(frames[:, 0], frames[:, 2])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_broken_image_stops_its_own_batch_with_a_sentence(tiny, num_workers):
    dataset = tiny(6)
    video_set = dataset.read()
    jpeg = dataset.image("video0/00004.jpg")
    jpeg.write_bytes(jpeg.read_bytes()[:300])
    batches = make(video_set, num_workers=num_workers, num_frames=1, shuffle=False).epoch(0)
    assert last_frames([next(batches), next(batches)]) == [(100, frame) for frame in range(4)]
    with pytest.raises(UserError, match=r"00004.jpg \(video 100, frame 4\)"):
        next(batches)
    assert not clip_threads()


def clip_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("clips")]


def test_an_iterator_closed_early_ends_its_threads(tiny):
    loader = make(tiny(9).read(), num_workers=3)
    batches = loader.epoch(0)
    next(batches)
    assert clip_threads()
    batches.close()
    assert not clip_threads()


def test_no_more_than_the_window_is_decoded_ahead(tiny, monkeypatch):
    video_set = tiny(12).read()
    started = []
    original = clip_sources.load_frames
    monkeypatch.setattr(
        clip_sources, "load_frames", lambda *args, **options: (started.append(1), original(*args, **options))[1]
    )
    batches = make(video_set, num_workers=2, batch_size=1, prefetch=3).epoch(0)
    next(batches)
    deadline = time.monotonic() + 60
    while len(started) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    batches.close()
    assert len(started) == 1 + 3
