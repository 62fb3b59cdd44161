"""Identities through long generated videos whose truth is known, from clips that are right and clips that err."""

from __future__ import annotations

import numpy as np
import pytest

from tests.inference.oracle import Errors, average_precision, identity_switches, link, long_video


@pytest.mark.parametrize(("length", "overlap"), [(4, 1), (8, 4), (36, 18)])
def test_exact_clips_of_any_overlap_give_exact_tracks(length: int, overlap: int) -> None:
    video, truth = long_video(0, 120)
    frames, _ = link(video, length, overlap, Errors(0, 0, 0, 0))
    assert identity_switches(frames, truth) == 0
    assert average_precision(frames, video, truth)["AP"] == pytest.approx(1)


def test_identities_survive_clips_that_err() -> None:
    video, truth = long_video(0, 120)
    frames, missed = link(video, 8, 4, Errors())
    assert sum(missed) >= 3
    assert identity_switches(frames, truth) <= 1
    exact, _ = link(video, 8, 4, Errors(0, 0, 0, 0))
    assert average_precision(frames, video, truth)["AP50"] > 0.5 * average_precision(exact, video, truth)["AP50"]


def test_longer_clips_break_fewer_identities_where_a_clip_without_overlap_breaks_them() -> None:
    video, truth = long_video(0, 120)
    switches = [identity_switches(link(video, length, 0, Errors())[0], truth) for length in (2, 8, 36)]
    assert switches == sorted(switches, reverse=True)
    assert switches[0] > 10 * identity_switches(link(video, 8, 4, Errors())[0], truth)


def test_a_track_that_one_clip_misses_goes_on_where_half_the_frames_are_shared() -> None:
    video, truth = long_video(0, 120)
    errors = Errors(shift=0, missed=0.1, confused=0, ghosts=0)
    halves, missed = link(video, 8, 4, errors)
    assert sum(missed) > 5
    quarter, _ = link(video, 8, 2, errors)
    assert identity_switches(halves, truth) < identity_switches(quarter, truth)


def test_the_measure_counts_a_switch_and_only_a_switch() -> None:
    video, truth = long_video(0, 40)
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
    assert identity_switches(frames, truth) == 0
    assert identity_switches(swapped, truth) == 1
    assert average_precision(swapped, video, truth)["AP"] < np.float64(1)


def _rest(sighting: object) -> list[object]:
    values = vars(sighting)
    return [values[name] for name in ("label", "score", "segmentation", "track_label", "track_score")]
