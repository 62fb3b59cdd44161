"""The clips that an epoch consists of, by number: where each is cut from, and how it is changed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from vistr.data.buckets import Size, padded_size
from vistr.data.clips import ClipTargets, clip_frames, clip_index
from vistr.data.samples import load_frames, load_targets
from vistr.data.settings import Augmentation
from vistr.data.transforms import Step, draw_steps, shown_pixels
from vistr.data.videos import Video, VideoSet

Clip = tuple[NDArray[np.uint8], ClipTargets]


class ClipSource(ABC):
    """Clips of training, numbered from 0; what is random in one is drawn from the generator that comes with its number.

    `sizes` are the few (height, width) that clips are padded to; none: multiples of a divisor. `names` are those of the
    sources it is a mixture of; none: it is none. With `marks_outside` targets have `outside`.
    """

    sizes: tuple[Size, ...] = ()
    names: tuple[str, ...] = ()
    marks_outside = False

    @abstractmethod
    def __len__(self) -> int:
        """The number of clips an epoch has."""

    @abstractmethod
    def padded_size(self, clip: int, epoch: int, rng: np.random.Generator) -> Size:
        """The (height, width) that `load` pads the clip to; nothing is decoded."""

    @abstractmethod
    def load(self, clip: int, epoch: int, rng: np.random.Generator) -> Clip:
        """The clip's frames, uint8 RGB [T, H, W, 3], and targets; UserError for an image that cannot be used."""


class VideoClips(ClipSource):
    """Every frame of the videos as the last of a clip; with `augmentation` None clips are only resized."""

    def __init__(
        self,
        video_set: VideoSet,
        *,
        num_frames: int,
        augmentation: Augmentation | None,
        short_side: int,
        long_side: int,
        size_divisor: int,
        sizes: tuple[Size, ...] = (),
    ) -> None:
        self.video_set, self.num_frames, self.augmentation = video_set, num_frames, augmentation
        self.short_side, self.long_side = short_side, long_side
        self.size_divisor, self.sizes = size_divisor, tuple(sizes)
        self.clips = clip_index(video_set)

    def __len__(self) -> int:
        """The number of frames of all videos."""
        return len(self.clips)

    def padded_size(self, clip: int, epoch: int, rng: np.random.Generator) -> Size:
        """As `load` pads it."""
        video, _, steps = self._draw(clip, rng)
        rows, columns = shown_pixels(steps, video.height, video.width)
        return padded_size(len(rows), len(columns), self.size_divisor, self.sizes)

    def load(self, clip: int, epoch: int, rng: np.random.Generator) -> Clip:
        """The clip, its frames decoded and changed alike."""
        video, frames, steps = self._draw(clip, rng)
        exact = self.augmentation is None
        images, _ = load_frames(self.video_set, video, frames, steps, self.size_divisor, self.sizes, exact=exact)
        return images, load_targets(self.video_set, video, frames, steps, self.size_divisor, self.sizes)

    def _draw(self, clip: int, rng: np.random.Generator) -> tuple[Video, list[int], list[Step]]:
        """A clip's video, frames and drawn changes."""
        video_index, last_frame = self.clips[clip]
        video = self.video_set.videos[video_index]
        size = (video.height, video.width)
        steps = draw_steps(self.augmentation, size, self.num_frames, self.short_side, self.long_side, rng)
        return video, clip_frames(last_frame, len(video), self.num_frames), steps
