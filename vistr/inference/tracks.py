"""Whole tracks of a video in memory, as evaluation wants them, and as entries of an official results file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vistr.data.segmentation import RLE, to_json
from vistr.inference.linking import LinkedFrame, Verdict


@dataclass(eq=False)
class Track:
    """One object through a video, from `first_frame` on: one label, score and mask (None: absent) a frame."""

    id: int
    first_frame: int
    labels: list[int]
    scores: list[float]
    segmentations: list[RLE | None]

    @property
    def end(self) -> int:
        """The frame after the last one."""
        return self.first_frame + len(self.segmentations)

    @property
    def label(self) -> int:
        """The track's class."""
        return self._verdict().label

    @property
    def score(self) -> float:
        """The track's score."""
        return self._verdict().score

    def between(self, start: int, end: int) -> list[RLE | None]:
        """The masks of frames start to end - 1, None outside the track."""
        return [
            self.segmentations[frame - self.first_frame] if self.first_frame <= frame < self.end else None
            for frame in range(start, end)
        ]

    def _verdict(self) -> Verdict:
        verdict = Verdict()
        for label, score in zip(self.labels, self.scores, strict=True):
            verdict.add(label, score)
        return verdict


def collect(frames: Iterable[LinkedFrame], *, min_score: float = 0.0) -> list[Track]:
    """The tracks of a video's frames in the order they started in, without those under `min_score`."""
    tracks: dict[int, Track] = {}
    for frame in frames:
        for sighting in frame.sightings:
            track = tracks.setdefault(sighting.track_id, Track(sighting.track_id, frame.index, [], [], []))
            track.labels.append(sighting.label)
            track.scores.append(sighting.score)
            track.segmentations.append(sighting.segmentation)
    return [track for _, track in sorted(tracks.items()) if track.score >= min_score]


def video_results(
    tracks: Sequence[Track], *, video_id: int, num_frames: int, category_ids: Mapping[int, int]
) -> list[dict[str, Any]]:
    """The tracks as entries of an official results file, with one RLE (counts a str) or None a frame.

    category_ids gives the category id of a label; tracks of other labels (0, which stands for no category)
    are left out: the official evaluation drops them.
    """
    results = []
    for track in tracks:
        if track.label in category_ids:
            masks = [rle and to_json(rle) for rle in track.between(0, num_frames)]
            results.append(
                {
                    "video_id": video_id,
                    "score": track.score,
                    "category_id": category_ids[track.label],
                    "segmentations": masks,
                }
            )
    return results
