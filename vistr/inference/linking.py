"""Tracks through videos of any length: the tracks of overlapping clips are joined as the clips come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vistr.data.segmentation import RLE, sequence_iou, to_json
from vistr.inference.postprocess import ClipTrack


@dataclass(eq=False)
class Track:
    """One object through a video, from `first_frame` on: one label, score and mask (None: absent) a frame.

    probabilities: the mean class probabilities of the clip that was joined last.
    """

    id: int
    first_frame: int
    labels: list[int]
    scores: list[float]
    segmentations: list[RLE | None]
    probabilities: NDArray[np.float32]

    @property
    def end(self) -> int:
        """The frame after the last one."""
        return self.first_frame + len(self.segmentations)

    @property
    def label(self) -> int:
        """The most frequent best class of its frames, as the original decides; the smaller one of equals."""
        return int(np.argmax(np.bincount(self.labels)))

    @property
    def score(self) -> float:
        """The mean score of its frames, as the original decides."""
        return float(np.mean(self.scores))

    def between(self, start: int, end: int) -> list[RLE | None]:
        """The masks of frames start to end - 1, None outside the track."""
        return [
            self.segmentations[frame - self.first_frame] if self.first_frame <= frame < self.end else None
            for frame in range(start, end)
        ]


class TrackLinker:
    """Joins the tracks of successive clips of one video; it keeps run-length codes, never whole masks.

    A track of the new clip continues the one whose masks overlap its own on the frames the clips share; of
    several candidates the assignment with the largest sum of IoU and shared class probability wins, so that
    the class decides where masks cannot. Pairs under `min_iou` are never joined: such a track starts anew.
    In the shared frames a joined track takes the first half from the earlier clip and the rest from the
    later one: each frame from the clip that sees more around it. Clips without shared frames are joined by
    the last frame before and the first one after.
    Tracks whose score is under `min_score` when they end are dropped.
    """

    def __init__(self, *, min_iou: float = 0.3, min_score: float = 0.0) -> None:
        self._min_iou = min_iou
        self._min_score = min_score
        self._active: list[Track] = []
        self._finished: list[Track] = []
        self._num_tracks = 0
        self._start = -1
        self._end = 0

    def add(self, tracks: Sequence[ClipTrack], frames: Sequence[int]) -> None:
        """Join one clip's tracks; frames are the successive frame indices of their entries.

        ValueError if the frames have gaps, start or end before those of the clip before, or leave some out.
        """
        start, end = frames[0], frames[0] + len(frames)
        if list(frames) != list(range(start, end)) or not self._start < start <= self._end <= end:
            raise ValueError(f"frames {list(frames)} do not continue a video seen up to frame {self._end - 1}")
        if any(len(track.segmentations) != len(frames) for track in tracks):
            raise ValueError(f"every track of the clip needs {len(frames)} masks, one a frame")
        self._close([track for track in self._active if track.end < min(start + 1, self._end)])
        pairs = self._match(tracks, start)
        middle = start + (max(self._end - start, 0) + 1) // 2
        for index, clip_track in enumerate(tracks):
            if index in pairs:
                _extend(pairs[index], clip_track, start, middle)
            else:
                self._begin(clip_track, start)
        self._start, self._end = start, end

    def finish(self) -> list[Track]:
        """The video's tracks in the order they started in; the linker is then ready for another video."""
        self._close(self._active)
        tracks = sorted(self._finished, key=lambda track: track.id)
        self._finished, self._num_tracks, self._start, self._end = [], 0, -1, 0
        return tracks

    def _match(self, tracks: Sequence[ClipTrack], start: int) -> dict[int, Track]:
        """The active track that each clip track continues, by the clip track's index."""
        if not tracks or not self._active:
            return {}
        if start < self._end:
            before = [track.between(start, self._end) for track in self._active]
            after = [track.segmentations[: self._end - start] for track in tracks]
        else:
            before = [track.between(start - 1, start) for track in self._active]
            after = [track.segmentations[:1] for track in tracks]
        iou, _ = sequence_iou(before, after)
        ours = np.stack([track.probabilities for track in self._active])
        theirs = np.stack([track.probabilities for track in tracks])
        agreement = np.minimum(ours[:, None], theirs[None, :]).sum(-1)
        affinity = np.where(iou >= self._min_iou, iou + agreement, 0)
        rows, columns = linear_sum_assignment(affinity, maximize=True)
        return {
            int(column): self._active[row]
            for row, column in zip(rows, columns, strict=True)
            if affinity[row, column] > 0
        }

    def _begin(self, clip_track: ClipTrack, start: int) -> None:
        track = Track(self._num_tracks, start, [], [], [], clip_track.probabilities)
        _extend(track, clip_track, start, start)
        self._active.append(track)
        self._num_tracks += 1

    def _close(self, ended: list[Track]) -> None:
        self._active = [track for track in self._active if track not in ended]
        self._finished += [track for track in ended if track.score >= self._min_score]


def _extend(track: Track, clip_track: ClipTrack, start: int, handover: int) -> None:
    """Let the clip's predictions follow the track's own from frame `handover` on, or earlier if it ends."""
    kept = min(handover, track.end) - track.first_frame
    skipped = track.first_frame + kept - start
    track.labels[kept:] = clip_track.labels[skipped:].tolist()
    track.scores[kept:] = clip_track.scores[skipped:].tolist()
    track.segmentations[kept:] = clip_track.segmentations[skipped:]
    track.probabilities = clip_track.probabilities


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
