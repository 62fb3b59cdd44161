"""Whole tracks of a video in memory, as evaluation wants them, and as entries of an official results file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vistr.data.segmentation import to_json
from vistr.inference.linking import LinkedFrame, Stretch


class Track(Stretch):
    """One object through a video."""

    @property
    def label(self) -> int:
        """The track's class."""
        return self.verdict().label

    @property
    def score(self) -> float:
        """The track's score."""
        return self.verdict().score


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
