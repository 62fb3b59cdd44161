"""Holding out whole videos."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vistr.data.splits import hold_out
from vistr.errors import UserError


def ids(video_set):
    return [video.id for video in video_set.videos]


def test_whole_videos_are_held_out_once_each_in_the_files_order(tiny):
    video_set = tiny(*[2] * 10).read()
    train, held_out = hold_out(video_set, 0.3, seed=1)
    assert len(ids(held_out)) == 3
    assert sorted(ids(train) + ids(held_out)) == ids(video_set)
    assert ids(train) == sorted(ids(train))
    assert train.labels == held_out.labels == video_set.labels


def test_the_choice_depends_on_the_seed_and_not_on_the_files_order(tiny):
    video_set = tiny(*[2] * 10).read()
    turned = replace(video_set, videos=video_set.videos[::-1])
    choices = [sorted(ids(hold_out(video_set, 0.3, seed)[1])) for seed in range(5)]
    assert choices == [sorted(ids(hold_out(turned, 0.3, seed)[1])) for seed in range(5)]
    assert len({tuple(choice) for choice in choices}) > 1


@pytest.mark.parametrize(("fraction", "expected"), [(0.001, 1), (0.999, 3), (0.5, 2)])
def test_both_sides_keep_a_video(tiny, fraction, expected):
    assert len(hold_out(tiny(2, 2, 2, 2).read(), fraction, seed=0)[1].videos) == expected


def test_nothing_is_held_out_at_zero_and_one_video_cannot_be_shared(tiny):
    video_set = tiny(2).read()
    train, held_out = hold_out(video_set, 0, seed=0)
    assert train == video_set
    assert held_out.videos == ()
    with pytest.raises(UserError, match=r"only 1 video.*dataset.holdout=0"):
        hold_out(video_set, 0.1, seed=0)
