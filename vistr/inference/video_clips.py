"""Videos of any length as overlapping clips at the network's size."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vistr.data.buckets import Size, padded_size
from vistr.data.transforms import Resize, resized
from vistr.errors import UserError
from vistr.inference.given_frames import Frame, each_frame, rgb_image


@dataclass(frozen=True)
class ClipSettings:
    """How videos become clips: `overlap` is the share of a clip that the next one of a long video sees again.

    Tracks of two clips whose masks have less than `min_iou` there are never joined.
    Frames are resized to `short_side`, or less where their other side would pass `long_side`; None: it may be any.
    Clips are padded to the smallest of `sizes` that holds them, or else to multiples of `size_divisor`.
    """

    num_frames: int
    short_side: int
    long_side: int | None
    size_divisor: int
    overlap: float
    min_iou: float = 0.3
    sizes: tuple[Size, ...] = ()

    @property
    def shared_frames(self) -> int:
        """Frames that successive clips share."""
        return min(int(self.num_frames * self.overlap), self.num_frames - 1)


@dataclass(frozen=True)
class VideoClip:
    """A clip at the network's size, uint8 `[h, w, 3]` a frame; the video's own size and the frames that are new."""

    pixels: list[NDArray[np.uint8]]
    video_size: tuple[int, int]
    frames: range

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) at the network's size, unpadded."""
        return self.pixels[0].shape[0], self.pixels[0].shape[1]

    def network_input(
        self, size_divisor: int, sizes: Sequence[Size] = ()
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Frames uint8 `[1, T, H, W, 3]` and their padding `[1, T, H, W]`."""
        height, width = self.size
        input_size = padded_size(height, width, size_divisor, sizes)
        images = np.zeros((1, len(self.pixels), *input_size, 3), np.uint8)
        padding = np.ones((1, len(self.pixels), *input_size), np.bool_)
        padding[:, :, :height, :width] = False
        for position, pixels in enumerate(self.pixels):
            images[0, position, :height, :width] = pixels
        return images, padding


def clips_of(frames: Iterable[Frame], settings: ClipSettings) -> Iterator[VideoClip]:
    """The clips that cover a video of unknown length; each shares `settings.shared_frames` with the next one.

    The last clip ends on the last frame; a video shorter than a clip is repeated until it fills one.
    """
    length = settings.num_frames
    latest: deque[NDArray[np.uint8]] = deque(maxlen=length)
    size, count, end = (0, 0), 0, length
    for count, frame in enumerate(each_frame(frames), 1):
        image = rgb_image(frame, count - 1)
        if count == 1:
            size = (image.height, image.width)
        elif size != (image.height, image.width):
            raise UserError(
                f"Frame {count - 1} is {image.width}x{image.height}, the frames before are {size[1]}x{size[0]}: "
                "all frames of a video need one size."
            )
        resize = Resize(size, resized(*size, settings.short_side, settings.long_side))
        latest.append(np.asarray(resize.frame(image, 0)))
        if count == end:
            yield VideoClip(list(latest), size, range(count - length, count))
            end += length - settings.shared_frames
    if 0 < count < length:
        yield VideoClip([latest[frame % count] for frame in range(length)], size, range(count))
    elif count > length and count != end - (length - settings.shared_frames):
        yield VideoClip(list(latest), size, range(count - length, count))
