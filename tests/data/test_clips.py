"""Which frames make a clip."""

from __future__ import annotations

import itertools

import pytest

from tests.inference.oracle import video_clip_frames
from vistr.data.clips import clip_frames, clip_index


def test_every_frame_is_the_last_of_one_clip(tiny):
    assert clip_index(tiny(3, 2).read()) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


@pytest.mark.parametrize("length", [1, 2, 5, 9])
@pytest.mark.parametrize("num_frames", [1, 4, 7])
def test_training_clips_are_those_of_the_original(length, num_frames):
    # The original's rule: position j shows file_names[frame - inds[j]], negative indices count from the end.
    files = list(range(length))
    inds = [i % length for i in range(num_frames)][::-1]
    for last in files:
        assert clip_frames(last, length, num_frames) == [files[last - ind] for ind in inds]


def test_a_clip_wraps_round_before_the_first_frame():
    assert clip_frames(1, 5, 4) == [3, 4, 0, 1]


def test_a_short_video_is_tiled_in_training_and_from_its_start_in_evaluation():
    assert clip_frames(1, 3, 7) == [1, 2, 0, 1, 2, 0, 1]
    assert video_clip_frames(3, 7, overlap=2) == [[0, 1, 2, 0, 1, 2, 0]]


def test_a_long_video_is_covered_by_overlapping_clips_the_last_at_its_end():
    assert video_clip_frames(4, 4, overlap=2) == [[0, 1, 2, 3]]
    assert video_clip_frames(9, 4, overlap=1) == [[0, 1, 2, 3], [3, 4, 5, 6], [5, 6, 7, 8]]


@pytest.mark.parametrize("length", range(5, 20))
@pytest.mark.parametrize("overlap", range(4))
def test_neighbouring_clips_share_at_least_the_overlap(length, overlap):
    clips = video_clip_frames(length, 4, overlap)
    assert sorted({frame for clip in clips for frame in clip}) == list(range(length))
    for first, second in itertools.pairwise(clips):
        assert overlap <= len(set(first) & set(second)) < 4


@pytest.mark.parametrize("overlap", [-1, 4])
def test_an_overlap_as_long_as_the_clip_is_refused(overlap):
    with pytest.raises(ValueError, match="overlap"):
        video_clip_frames(9, 4, overlap)
