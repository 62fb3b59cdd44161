"""From frames to tracks: overlapping clips through the network, joined as they come, with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vistr.data.segmentation import RLE, area, decode
from vistr.data.sources import dataset_frames
from vistr.data.videos import Category, Video, VideoSet
from vistr.inference.ahead import Ahead
from vistr.inference.given_frames import Frame, each_frame
from vistr.inference.linking import LinkedFrame, TrackLinker
from vistr.inference.long_frames import LongFrames
from vistr.inference.postprocess import ClipTrack, clip_tracks
from vistr.inference.tracks import collect, video_results
from vistr.inference.video_clips import ClipSettings, VideoClip, clips_of
from vistr.models.vistr import VisTR


@dataclass(frozen=True)
class FrameTrack:
    """One track that is seen in a frame; label, name and score are the track's as far as it is known."""

    id: int
    label: int
    name: str
    score: float
    segmentation: RLE

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """uint8 `[H, W]`, 1 inside."""
        return decode(self.segmentation)


@dataclass(frozen=True)
class FrameTracks:
    """The tracks seen in frame `index`, and the frame itself as it was given (None where that was not asked for)."""

    index: int
    image: Frame | None
    tracks: tuple[FrameTrack, ...]

    def __iter__(self) -> Iterator[FrameTrack]:
        return iter(self.tracks)

    def __len__(self) -> int:
        return len(self.tracks)


class _Waiting(NamedTuple):
    """A clip whose tracks are being made, or (None) the end of a video."""

    video: int
    frames: range
    tracks: Future[list[ClipTrack]] | None


class Predictor:
    """Finds the tracks of videos with one network, whose label k means `categories[k - 1]`."""

    def __init__(
        self, model: VisTR, settings: ClipSettings, *, categories: Sequence[Category] = (), min_score: float = 0.0
    ) -> None:
        self.model, self.settings, self.min_score = model, settings, min_score
        self.categories = tuple(categories)
        self.long_frames = LongFrames()

    def stream(self, frames: Iterable[Frame], *, keep_images: bool = True) -> Iterator[FrameTracks]:
        """The tracks of every frame, in order, while the video is still being read.

        Frames are uint8 `[H, W, 3]` RGB, `[H, W]` grey or `[H, W, 4]` (transparency is dropped), or images, all of one
        size. A frame comes out when a later clip has begun, at most `2 * num_frames` frames later; its masks and
        identities are final then, while a track's class and score are those of the frames up to the latest clip: a
        track under `min_score` so far, or without a name, is left out. Memory is that of a few clips, whatever the
        video's length; with `keep_images=False` the frames themselves are let go at once.

        Raises:
            UserError: frames of several sizes, or what is no frame: floats, more than 8 bits, channels first, one
                frame alone.
        """
        waiting: deque[Frame] = deque()

        def noted() -> Iterator[Frame]:
            for frame in each_frame(frames):
                if keep_images:
                    waiting.append(frame)
                yield frame

        for linked in self.link(noted()):
            yield FrameTracks(linked.index, waiting.popleft() if keep_images else None, tuple(self._seen(linked)))

    def link(self, frames: Iterable[Frame], on_clip: Callable[[int], None] | None = None) -> Iterator[LinkedFrame]:
        """Every frame with all its tracks, those of low scores included; `stream` and `results` are made of them.

        `on_clip` is told after each clip how many frames the network has seen. The frames are read in a thread of
        their own, up to three clips ahead of those that come out.
        """
        for _, linked in self.link_all([frames], on_clip):
            if linked is not None:
                yield linked

    def link_all(
        self, videos: Iterable[Iterable[Frame]], on_clip: Callable[[int], None] | None = None
    ) -> Iterator[tuple[int, LinkedFrame | None]]:
        """`link` of several videos, one after the other: (the video's number, frame), and (number, None) at its end.

        While the network works on a clip, one thread reads the next clip, of the same video or the one after, and
        another makes tracks of the last one.
        """
        linker = TrackLinker(min_iou=self.settings.min_iou)
        waiting: deque[_Waiting] = deque()

        def first_finished() -> Iterator[tuple[int, LinkedFrame | None]]:
            one = waiting.popleft()
            for frame in linker.finish() if one.tracks is None else linker.add(one.tracks.result(), one.frames):
                yield one.video, frame
            if one.tracks is None:
                yield one.video, None

        with Ahead(self._clips(videos)) as clips, ThreadPoolExecutor(1, "tracks") as pool:
            while True:
                # Where reading is the slowest, whoever waits for frames gets those that are finished meanwhile.
                while waiting and not clips.is_ready_before(waiting[0].tracks):
                    yield from first_finished()
                video, clip = next(clips, (-1, None))
                outputs = None if clip is None else self._run(clip)
                if clip is not None and on_clip is not None:
                    on_clip(clip.frames.stop)
                while waiting:
                    yield from first_finished()
                if video < 0:
                    clips.finish()
                    return
                tracks = None if clip is None or outputs is None else pool.submit(self._tracks_of, clip, *outputs)
                waiting.append(_Waiting(video, range(0) if clip is None else clip.frames, tracks))

    def _clips(self, videos: Iterable[Iterable[Frame]]) -> Iterator[tuple[int, VideoClip | None]]:
        for number, frames in enumerate(videos):
            for clip in clips_of(frames, self.settings):
                yield number, clip
            yield number, None

    def _run(self, clip: VideoClip) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The network's logits and masks, by frame."""
        if self.settings.long_side is None:
            self.long_frames.see(self.settings.num_frames, clip.video_size, clip.size)
        images, padding = clip.network_input(self.settings.size_divisor, self.settings.sizes)
        outputs = self.model(images, padding)
        logits, masks = (by_frame(x.asnumpy(), self.settings.num_frames) for x in (outputs.logits, outputs.masks))
        return logits, masks

    def _tracks_of(self, clip: VideoClip, logits: NDArray[np.float32], masks: NDArray[np.float32]) -> list[ClipTrack]:
        return clip_tracks(
            logits,
            masks,
            valid_size=clip.size,
            video_size=clip.video_size,
            num_valid_frames=len(clip.frames),
        )

    def results(self, video_set: VideoSet, videos: Iterable[Video]) -> Generator[list[dict[str, Any]], None, None]:
        """Entries of an official results file for one video after the other: its tracks that have `min_score`.

        Of a video itself only run-length codes are held.
        """
        category_ids = {label: category_id for category_id, label in video_set.labels.items()}
        listed: deque[Video] = deque()

        def opened() -> Iterator[Iterator[Frame]]:
            for video in videos:
                listed.append(video)
                yield dataset_frames(video_set, video)

        frames: list[LinkedFrame] = []
        for _, linked in self.link_all(opened()):
            if linked is not None:
                frames.append(linked)
                continue
            tracks, video, frames = collect(frames, min_score=self.min_score), listed.popleft(), []
            yield video_results(tracks, video_id=video.id, num_frames=len(video), category_ids=category_ids)

    def _seen(self, linked: LinkedFrame) -> Iterator[FrameTrack]:
        for one in linked.sightings:
            known = 1 <= one.track_label <= len(self.categories)
            if known and one.track_score >= self.min_score and one.segmentation and area(one.segmentation):
                name = self.categories[one.track_label - 1].name
                yield FrameTrack(one.track_id, one.track_label, name, one.track_score, one.segmentation)


def by_frame(values: np.ndarray, num_frames: int) -> np.ndarray:
    """One clip's values of all queries `[1, T*N, ...]` as `[T, N, ...]`."""
    return values.reshape(num_frames, -1, *values.shape[2:])
