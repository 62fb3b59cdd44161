"""Holding out whole videos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vistr.data.settings import Dataset
from vistr.data.splits import hold_out, training_and_held_out
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


def listed(video_set, file: Path, content: str | bytes):
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return training_and_held_out(video_set, Dataset(holdout_ids=str(file), holdout=0.5, seed=3))


def test_a_file_lists_the_held_out_videos_whatever_seed_and_share(tiny, tmp_path: Path) -> None:
    video_set = tiny(*[2] * 5).read()
    text = "\ufeff# the split of a paper\r\n103\r\n\r\n100  # a short one\n103\n"
    train, held_out = listed(video_set, tmp_path / "ids.txt", text)
    assert (ids(train), ids(held_out)) == ([101, 102, 104], [100, 103])
    assert train.labels == held_out.labels == video_set.labels


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("101\n7\n9\n", "lists video 7 and 1 more, but .* has no such video"),
        ("100\n101\n102\n", "lists every video of .* none is left to train on"),
        ("# none yet\n", "lists no video: give one video id a line"),
        ("", "is empty"),
        ("100\nvideo0\n", "line 2: 'video0' is no video id"),
        ("-1\n", "line 1: '-1' is no video id"),
        ("9" * 5000, "line 1: '9+...9+' is no video id"),
        ("\u0663", "is no video id"),
        (b"\xff\xfe1\x00", "is no text"),
    ],
)
def test_a_list_that_cannot_be_used_is_said_in_a_sentence(tiny, tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(UserError, match=f"ids.txt.*{words}"):
        listed(tiny(2, 2, 2).read(), tmp_path / "ids.txt", content)
