"""Tracks of a long video, kept in a file instead of in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

from vistr.data.segmentation import RLE, area
from vistr.inference.linking import LinkedFrame, Verdict


@dataclass
class SpooledTrack:
    """The part of a track that stays in memory: its class and score, and the frames it is first and last seen in."""

    id: int
    verdict: Verdict = field(default_factory=Verdict)
    first_seen: int | None = None
    last_seen: int | None = None
    num_seen: int = 0

    @property
    def label(self) -> int:
        """The track's class."""
        return self.verdict.label

    @property
    def score(self) -> float:
        """The track's score."""
        return self.verdict.score


class TrackSpool:
    """Takes a video's frames as they are linked, gives its masks back by frame or by track.

    The masks lie in an SQLite file made at `path`, in memory are a few hundred bytes a track. The file has no name once
    it is open, so that nothing is left of it however the process ends.
    sqlite3.Error where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path)
        # Nobody needs the file after a crash.
        self._database.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
        self._database.executescript(
            "CREATE TABLE sightings (frame INTEGER, track INTEGER, score REAL, counts BLOB, PRIMARY KEY (frame, track))"
            " WITHOUT ROWID; CREATE INDEX by_track ON sightings (track, frame);"
        )
        path.unlink()
        self._size = [0, 0]
        self.tracks: dict[int, SpooledTrack] = {}
        self.num_frames = 0

    def add(self, frame: LinkedFrame) -> None:
        """Keep the next frame."""
        rows = []
        for one in frame.sightings:
            track = self.tracks.setdefault(one.track_id, SpooledTrack(one.track_id))
            track.verdict.add(one.label, one.score)
            if one.segmentation is not None:
                self._size = one.segmentation["size"]
                rows.append((frame.index, track.id, one.score, one.segmentation["counts"]))
                if area(one.segmentation):
                    track.first_seen = frame.index if track.first_seen is None else track.first_seen
                    track.last_seen = frame.index
                    track.num_seen += 1
        self._database.executemany("INSERT INTO sightings VALUES (?, ?, ?, ?)", rows)
        self.num_frames = frame.index + 1

    def commit(self) -> None:
        """Write out what SQLite still holds back."""
        self._database.commit()

    def in_frame(self, frame: int, tracks: Collection[int]) -> Iterator[tuple[int, float, RLE]]:
        """(track, the frame's score, mask) of those of `tracks` that are in a frame, in the order of their ids."""
        query = "SELECT track, score, counts FROM sightings WHERE frame = ? ORDER BY track"
        for track, score, counts in self._database.execute(query, (frame,)):
            if track in tracks:
                yield track, score, self._rle(counts)

    def of_track(self, track: int) -> Iterator[tuple[int, RLE]]:
        """(frame, mask) of one track, in the order of the frames."""
        query = "SELECT frame, counts FROM sightings WHERE track = ? ORDER BY frame"
        for frame, counts in self._database.execute(query, (track,)):
            yield frame, self._rle(counts)

    def mask(self, frame: int, track: int) -> RLE | None:
        """One track's mask in a frame; None where it is absent."""
        query = "SELECT counts FROM sightings WHERE frame = ? AND track = ?"
        row = self._database.execute(query, (frame, track)).fetchone()
        return None if row is None else self._rle(row[0])

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._database.close()

    def _rle(self, counts: bytes) -> RLE:
        return {"size": self._size, "counts": counts}


class TrackMasks(Sequence[RLE | None]):
    """A track's masks from the first frame it is seen in to the last, read from the spool when asked for."""

    def __init__(self, spool: TrackSpool, track: SpooledTrack) -> None:
        self._spool, self._track = spool, track.id
        self.first = track.first_seen or 0
        self._length = 0 if track.last_seen is None else track.last_seen - self.first + 1

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> RLE | None: ...
    @overload
    def __getitem__(self, place: slice) -> list[RLE | None]: ...
    def __getitem__(self, place: int | slice) -> RLE | list[RLE | None] | None:
        if isinstance(place, slice):
            return [self[k] for k in range(*place.indices(self._length))]
        if not 0 <= place < self._length:
            raise IndexError(place)
        return self._spool.mask(self.first + place, self._track)


def best_tracks(
    spool: TrackSpool, labels: Collection[int], *, min_score: float = 0.0, max_tracks: int | None = None
) -> list[SpooledTrack]:
    """The tracks of these labels with `min_score`, at most the `max_tracks` best; in the order they started in."""
    chosen = [track for track in spool.tracks.values() if track.label in labels and track.score >= min_score]
    chosen.sort(key=lambda track: -track.score)
    return sorted(chosen[:max_tracks], key=lambda track: track.id)
