"""Identities through long generated videos whose truth is known, from clips that are right and clips that err."""

from __future__ import annotations

import numpy as np
import pytest

from tests.inference.oracle import (
    Errors,
    average_precision,
    clip_tracks,
    identity_switches,
    link,
    long_video,
    video_clip_frames,
)
from vistr.inference.linking import TrackLinker
from vistr.inference.tracks import collect


@pytest.mark.parametrize(("length", "overlap"), [(4, 1), (8, 4), (36, 18)])
def test_exact_clips_of_any_overlap_give_exact_tracks(length: int, overlap: int) -> None:
    video = long_video(0, 120)
    frames, _ = link(video, length, overlap, Errors(0, 0, 0, 0))
    assert identity_switches(frames, video.codes) == 0
    assert average_precision(frames, video)["AP"] == pytest.approx(1)


def test_most_identities_survive_clips_that_err() -> None:
    # Each clip errs anew, and hides an object altogether now and then.
    num_missed, switches, unshared = 0, 0, 0
    for index in range(3):
        video = long_video(index, 200)
        frames, missed = link(video, 8, 4, Errors())
        num_missed += sum(missed)
        switches += identity_switches(frames, video.codes)
        unshared += identity_switches(link(video, 8, 0, Errors())[0], video.codes)
    assert num_missed >= 8
    assert switches <= num_missed
    assert switches < unshared


@pytest.mark.parametrize("overlap", [4, 6])
def test_a_clip_that_misses_everything_breaks_no_identity_where_half_the_frames_are_shared(overlap: int) -> None:
    video = long_video(1, 60)
    numbers = video_clip_frames(60, 8, overlap)
    linker, frames = TrackLinker(), []
    for place, clip in enumerate(numbers):
        tracks = clip_tracks(video, clip, Errors(0, 0, 0, 0), np.random.default_rng(place), [0, 0, 0])
        frames += linker.add([] if place == 3 else list(tracks), clip)
    frames += linker.finish()
    assert identity_switches(frames, video.codes) == 0
    assert len(collect(frames)) == 3


def test_the_measure_counts_a_switch_and_only_a_switch() -> None:
    video = long_video(0, 40)
    frames, _ = link(video, 8, 4, Errors(0, 0, 0, 0))
    swapped = [
        type(frame)(
            frame.index,
            tuple(
                type(s)(99 if s.track_id == 0 and frame.index >= 20 else s.track_id, *_rest(s)) for s in frame.sightings
            ),
        )
        for frame in frames
    ]
    assert identity_switches(frames, video.codes) == 0
    assert identity_switches(swapped, video.codes) == 1
    assert average_precision(swapped, video)["AP"] < np.float64(1)


def _rest(sighting: object) -> list[object]:
    values = vars(sighting)
    return [values[name] for name in ("label", "score", "segmentation", "track_label", "track_score")]
