"""Tracks through videos of any length: the tracks of overlapping clips are joined as the clips come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vistr.data.segmentation import RLE, sequence_iou
from vistr.inference.postprocess import ClipTrack


@dataclass(frozen=True)
class Sighting:
    """One track in one frame: the frame's best class, its probability, and the mask (None: absent there).

    track_label, track_score: the track's as far as clips have come in, its last frames therefore included.
    """

    track_id: int
    label: int
    score: float
    segmentation: RLE | None
    track_label: int
    track_score: float


@dataclass(frozen=True)
class LinkedFrame:
    """A frame whose masks and identities are final."""

    index: int
    sightings: tuple[Sighting, ...]


@dataclass
class Verdict:
    """A track's class and score from those of its frames."""

    votes: dict[int, int] = field(default_factory=dict)
    total: float = 0.0
    num_frames: int = 0

    def add(self, label: int, score: float) -> None:
        """Count one frame."""
        self.votes[label] = self.votes.get(label, 0) + 1
        self.total += score
        self.num_frames += 1

    @property
    def label(self) -> int:
        """The most frequent best class of the frames, as the original decides; the smaller one of equals."""
        return min(self.votes, key=lambda label: (-self.votes[label], label))

    @property
    def score(self) -> float:
        """The mean score of the frames, as the original decides."""
        return self.total / self.num_frames


@dataclass(eq=False)
class Stretch:
    """Successive frames of one object, from `first_frame` on: one label, score and mask (None: absent) a frame."""

    id: int
    first_frame: int
    labels: list[int]
    scores: list[float]
    segmentations: list[RLE | None]

    @property
    def end(self) -> int:
        """The frame after the last one."""
        return self.first_frame + len(self.segmentations)

    def between(self, start: int, end: int) -> list[RLE | None]:
        """The masks of frames start to end - 1, None outside the stretch."""
        return [
            self.segmentations[frame - self.first_frame] if self.first_frame <= frame < self.end else None
            for frame in range(start, end)
        ]

    def verdict(self, before: Verdict | None = None) -> Verdict:
        """The track's class and score over these frames and those that `before` has counted."""
        whole = Verdict() if before is None else Verdict(dict(before.votes), before.total, before.num_frames)
        for label, score in zip(self.labels, self.scores, strict=True):
            whole.add(label, score)
        return whole


@dataclass(eq=False)
class _OpenTrack(Stretch):
    """A track that may go on; of its frames it holds those that are not final yet.

    probabilities: the sum of the mean class probabilities of its clips.
    """

    probabilities: NDArray[np.float32]
    num_clips: int = 0
    final: Verdict = field(default_factory=Verdict)


class TrackLinker:
    """Joins the tracks of successive clips of one video, and gives every frame back once it is final.

    A track of the new clip continues the one whose masks overlap its own on the frames the clips share; of
    several candidates the assignment with the largest sum of IoU and shared class probability wins, so that
    the class decides where masks cannot. Pairs under `min_iou` are never joined: such a track starts anew.
    In the shared frames a joined track takes the first half from the earlier clip and the rest from the
    later one: each frame from the clip that sees more around it. Where a track ends on the frame before the
    clip (clips without shared frames; a track that the clip between missed), its last mask and the first one
    after are compared instead. The classes compared are a track's mean over its clips.

    A frame is final when a clip has begun after it. Only run-length codes of frames that are not are held,
    at most two clips' worth: what is held does not grow with the video.
    """

    def __init__(self, *, min_iou: float = 0.3) -> None:
        self._min_iou = min_iou
        self._active: list[_OpenTrack] = []
        self._num_tracks = 0
        self._start = -1
        self._end = 0

    def add(self, tracks: Sequence[ClipTrack], frames: Sequence[int]) -> list[LinkedFrame]:
        """Join one clip's tracks, and return the frames that are final with it, in order.

        `frames` are the successive frame indices of the tracks' entries. ValueError if they have gaps, start or
        end before those of the clip before, or leave some out.
        """
        start, end = frames[0], frames[0] + len(frames)
        if list(frames) != list(range(start, end)) or not self._start < start <= self._end <= end:
            raise ValueError(f"frames {list(frames)} do not continue a video seen up to frame {self._end - 1}")
        if any(len(track.segmentations) != len(frames) for track in tracks):
            raise ValueError(f"every track of the clip needs {len(frames)} masks, one a frame")
        candidates = [track for track in self._active if track.end >= start]
        pairs = self._match(candidates, tracks, start)
        middle = start + (max(self._end - start, 0) + 1) // 2
        for index, clip_track in enumerate(tracks):
            if index in pairs:
                _extend(pairs[index], clip_track, start, middle)
            else:
                self._begin(clip_track, start)
        released = self._release(max(self._start, 0), start)
        self._start, self._end = start, end
        return released

    def finish(self) -> list[LinkedFrame]:
        """The frames that were left; the linker is then ready for another video."""
        released = self._release(max(self._start, 0), self._end)
        self._active, self._num_tracks, self._start, self._end = [], 0, -1, 0
        return released

    def _match(
        self, candidates: Sequence[_OpenTrack], tracks: Sequence[ClipTrack], start: int
    ) -> dict[int, _OpenTrack]:
        """The candidate that each clip track continues, by the clip track's index."""
        if not tracks or not candidates:
            return {}
        before = [track.between(start, self._end) for track in candidates]
        iou, _ = sequence_iou(before, [track.segmentations[: self._end - start] for track in tracks])
        ended = [row for row, track in enumerate(candidates) if track.end == start]
        if ended:
            last = [candidates[row].segmentations[-1:] for row in ended]
            iou[ended], _ = sequence_iou(last, [track.segmentations[:1] for track in tracks])
        ours = np.stack([track.probabilities / track.num_clips for track in candidates])
        theirs = np.stack([track.probabilities for track in tracks])
        agreement = np.minimum(ours[:, None], theirs[None, :]).sum(-1)
        affinity = np.where(iou >= self._min_iou, iou + agreement, 0)
        rows, columns = linear_sum_assignment(affinity, maximize=True)
        return {
            int(column): candidates[row] for row, column in zip(rows, columns, strict=True) if affinity[row, column] > 0
        }

    def _begin(self, clip_track: ClipTrack, start: int) -> None:
        track = _OpenTrack(self._num_tracks, start, [], [], [], np.zeros_like(clip_track.probabilities))
        _extend(track, clip_track, start, start)
        self._active.append(track)
        self._num_tracks += 1

    def _release(self, start: int, end: int) -> list[LinkedFrame]:
        """Frames `start` to `end` - 1 out of the active tracks; tracks with no frame left are over."""
        frames: list[list[Sighting]] = [[] for _ in range(start, end)]
        for track in self._active:
            verdict = track.verdict(track.final)
            count = min(max(end - track.first_frame, 0), len(track.segmentations))
            parts = zip(track.labels[:count], track.scores[:count], track.segmentations[:count], strict=True)
            for frame, (label, score, rle) in enumerate(parts, track.first_frame):
                track.final.add(label, score)
                frames[frame - start].append(Sighting(track.id, label, score, rle, verdict.label, verdict.score))
            del track.labels[:count], track.scores[:count], track.segmentations[:count]
            track.first_frame += count
        self._active = [track for track in self._active if track.segmentations]
        return [LinkedFrame(index, tuple(sightings)) for index, sightings in enumerate(frames, start)]


def _extend(track: _OpenTrack, clip_track: ClipTrack, start: int, handover: int) -> None:
    """Let the clip's predictions follow the track's own from frame `handover` on, or earlier if it ends."""
    kept = min(handover, track.end) - track.first_frame
    skipped = track.first_frame + kept - start
    track.labels[kept:] = clip_track.labels[skipped:].tolist()
    track.scores[kept:] = clip_track.scores[skipped:].tolist()
    track.segmentations[kept:] = clip_track.segmentations[skipped:]
    track.probabilities = track.probabilities + clip_track.probabilities
    track.num_clips += 1
