"""From a video to its tracks: overlapping clips through the network, joined as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vistr.data.clips import video_clip_frames
from vistr.data.loader import load_video_clip
from vistr.data.videos import Video, VideoSet
from vistr.inference.linking import Track, TrackLinker, video_results
from vistr.inference.postprocess import clip_tracks
from vistr.models.vistr import VisTR


@dataclass(frozen=True)
class ClipSettings:
    """How videos become clips: `overlap` is the share of a clip that the next one of a long video sees again."""

    num_frames: int
    short_side: int
    long_side: int
    size_divisor: int
    overlap: float

    @property
    def shared_frames(self) -> int:
        """Frames that successive clips share."""
        return min(int(self.num_frames * self.overlap), self.num_frames - 1)


class Predictor:
    """Finds the tracks of videos with one network."""

    def __init__(self, model: VisTR, settings: ClipSettings, *, min_score: float = 0.0) -> None:
        self.model, self.settings, self.min_score = model, settings, min_score

    def tracks(self, video_set: VideoSet, video: Video) -> list[Track]:
        """The tracks of one video; clips are read one after the other, and only run-length codes are kept."""
        settings = self.settings
        linker = TrackLinker(min_score=self.min_score)
        for frames in video_clip_frames(len(video), settings.num_frames, settings.shared_frames):
            images, padding, valid_size = load_video_clip(
                video_set, video, frames, settings.short_side, settings.long_side, settings.size_divisor
            )
            outputs = self.model(images, padding)
            num_valid = min(len(video), settings.num_frames)
            found = clip_tracks(
                by_frame(outputs.logits.asnumpy(), settings.num_frames),
                by_frame(outputs.masks.asnumpy(), settings.num_frames),
                valid_size=valid_size,
                padded_size=(images.shape[3], images.shape[4]),
                video_size=(video.height, video.width),
                num_valid_frames=num_valid,
            )
            linker.add(found, frames[:num_valid])
        return linker.finish()

    def results(self, video_set: VideoSet, video: Video) -> list[dict[str, Any]]:
        """The video's tracks as entries of an official results file."""
        category_ids = {label: category_id for category_id, label in video_set.labels.items()}
        tracks = self.tracks(video_set, video)
        return video_results(tracks, video_id=video.id, num_frames=len(video), category_ids=category_ids)


def by_frame(values: np.ndarray, num_frames: int) -> np.ndarray:
    """One clip's values of all queries `[1, T*N, ...]` as `[T, N, ...]`."""
    return values.reshape(num_frames, -1, *values.shape[2:])
