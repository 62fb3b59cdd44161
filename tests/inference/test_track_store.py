"""Tracks kept in a file: what comes back is what went in, and memory stays out of it."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vistr.data.segmentation import RLE, encode
from vistr.inference.linking import LinkedFrame, Sighting
from vistr.inference.track_store import SpooledTrack, TrackMasks, TrackSpool, best_tracks
from vistr.inference.tracks import collect


def code(number: int) -> RLE:
    mask = np.zeros((30, 40), bool)
    mask[number % 20 : number % 20 + 5, 3:9] = True
    return encode(mask)


EMPTY = encode(np.zeros((30, 40), bool))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[TrackSpool]:
    kept = TrackSpool(tmp_path / "spool.sqlite")
    yield kept
    kept.close()
    assert list(tmp_path.iterdir()) == []


def sighting(track: int, label: int, score: float, rle: RLE | None) -> Sighting:
    return Sighting(track, label, score, rle, label, score)


FRAMES = [
    LinkedFrame(0, (sighting(0, 1, 0.9, code(0)), sighting(1, 2, 0.4, EMPTY))),
    LinkedFrame(1, (sighting(0, 2, 0.8, None), sighting(1, 2, 0.5, code(7)))),
    LinkedFrame(2, (sighting(0, 1, 0.6, code(2)), sighting(1, 2, 0.6, code(8)), sighting(4, 3, 0.2, code(9)))),
]


def test_masks_come_back_by_frame_and_by_track(spool: TrackSpool) -> None:
    for frame in FRAMES:
        spool.add(frame)
    spool.commit()
    assert spool.num_frames == 3
    assert list(spool.of_track(0)) == [(0, code(0)), (2, code(2))]
    assert list(spool.in_frame(1, {0, 1})) == [(1, 0.5, code(7))]
    assert [track for track, _, _ in spool.in_frame(2, {0, 4})] == [0, 4]


def test_classes_and_scores_are_those_of_tracks_in_memory(spool: TrackSpool) -> None:
    for frame in FRAMES:
        spool.add(frame)
    for track in collect(FRAMES):
        assert (spool.tracks[track.id].label, spool.tracks[track.id].score) == (track.label, track.score)
    one = spool.tracks[1]
    assert (one.first_seen, one.last_seen, one.num_seen) == (1, 2, 2)  # a mask without a pixel is not seen


def test_the_best_tracks_of_the_wanted_classes_are_chosen(spool: TrackSpool) -> None:
    for frame in FRAMES:
        spool.add(frame)
    assert [track.id for track in best_tracks(spool, {1, 2, 3})] == [0, 1, 4]
    assert [track.id for track in best_tracks(spool, {2, 3})] == [1, 4]
    assert [track.id for track in best_tracks(spool, {1, 2, 3}, min_score=0.3)] == [0, 1]
    assert [track.id for track in best_tracks(spool, {1, 2, 3}, max_tracks=1)] == [0]


def test_a_tracks_masks_are_a_sequence_from_the_first_frame_it_is_seen_in(spool: TrackSpool) -> None:
    for frame in FRAMES:
        spool.add(frame)
    assert list(TrackMasks(spool, spool.tracks[0])) == [code(0), None, code(2)]
    later = TrackMasks(spool, spool.tracks[1])
    assert (later.first, later[0], later[-2:], len(later)) == (1, code(7), [code(7), code(8)], 2)
    with pytest.raises(IndexError):
        later[2]
    assert list(TrackMasks(spool, SpooledTrack(9))) == []


def test_masks_do_not_stay_in_memory(spool: TrackSpool) -> None:
    def fill(first: int, last: int) -> int:
        for number in range(first, last):
            spool.add(LinkedFrame(number, tuple(sighting(k, 1, 0.5, code(number + k)) for k in range(5))))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    fill(0, 2500)  # the interpreter keeps up to 2000 tuples for reuse
    short, long = fill(2500, 2600), fill(2600, 4500)
    tracemalloc.stop()
    assert long < short + 100_000  # the codes of 1900 frames would take a megabyte


def test_a_full_disk_is_an_error_and_not_a_silence(spool: TrackSpool) -> None:
    spool._database.execute("PRAGMA max_page_count=12")
    noise = np.random.default_rng(0).integers(0, 2, (30, 40))

    def fill() -> None:
        for number in range(500):
            spool.add(LinkedFrame(number, (sighting(0, 1, 0.5, encode(noise)),)))

    with pytest.raises(sqlite3.Error, match="full"):
        fill()
