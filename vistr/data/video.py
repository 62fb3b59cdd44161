"""Video files in and out: any container and codec that FFmpeg reads, one frame at a time."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vistr.data.containers import Reader, moving_stream, open_container, square_size
from vistr.errors import UserError

Pixels = NDArray[np.uint8]

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif", ".mpg", ".mpeg", ".m2v", ".ts", ".mts", ".m2ts"),
    *(".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".vob", ".mxf", ".dv", ".mjpeg", ".h264", ".hevc"),
)

VARIES = 0.25  # of the usual distance of two frames: more than the milliseconds that some containers round to
TICK = Fraction(1, 10_000)  # of a second; MPEG-4 takes no finer one

# Encoders in the order of preference; wheels of PyAV built elsewhere may lack the first.
_ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"crf": "20", "preset": "veryfast"}),
    ("libopenh264", {"b": "8M"}),
    ("mpeg4", {"qscale": "3", "flags": "+qscale"}),
    ("libvpx-vp9", {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "6"}),
)


class VideoFile:
    """The frames of a video file as uint8 `[H, W, 3]` RGB, turned upright, decoded anew by every iteration.

    `size` is the upright (height, width) with square pixels; `frames_per_second` the mean rate (None: the file says
    none); `num_frames` what the file says or its duration suggests (None: neither); `times`, after an iteration, the
    seconds at which the frames are shown where their rate varies. Where packets are damaged or missing, the frames
    that decode come all the same and `lost` says, after an iteration, what did not.

    Raises:
        UserError: the file is no video, has no frame that decodes, or its frames change their size.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.stem
        self.lost: str | None = None
        self.times: Sequence[float] | None = None
        self.frames_per_second: float | None = None
        self.num_frames: int | None = None
        first = next(iter(self), None)
        if first is None:
            raise UserError(f"{path} holds no frame that can be decoded.")
        self.size: tuple[int, int] = (first.shape[0], first.shape[1])

    def __iter__(self) -> Iterator[Pixels]:
        size: tuple[int, ...] | None = None
        times = array("d")
        with open_container(self.path) as container:
            stream = moving_stream(container, self.path)
            stream.thread_type = "AUTO"
            self._describe(container, stream)
            reader = Reader(container, stream)
            matrices: dict[int, bytes | None] = {}
            for count, frame in enumerate(reader):
                # A frame and its side data hold each other, and the memory, long after both are done with.
                if frame.rotation not in matrices:
                    matrices[frame.rotation] = _display_matrix(frame)
                pixels = _upright(frame, square_size(stream, frame), matrices[frame.rotation])
                if size is not None and pixels.shape != size:
                    raise UserError(
                        f"{self.path}: frame {count} is {pixels.shape[1]}x{pixels.shape[0]}, the frames before are "
                        f"{size[1]}x{size[0]}: convert it to one size first."
                    )
                size = pixels.shape
                reader.damaged += frame.is_corrupt
                times.append(float("nan") if frame.time is None else frame.time)
                yield pixels
            self._losses(len(times), reader, container, stream)
        self._settle(np.frombuffer(times, np.float64))

    def _describe(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        if self.num_frames is not None or self.frames_per_second is not None:
            return  # known from an iteration before
        rate = stream.average_rate or stream.guessed_rate
        self.frames_per_second = float(rate) if rate else None
        self.num_frames = stream.frames or None
        duration = _seconds(container, stream)
        if self.frames_per_second and duration:
            by_duration = max(round(duration * self.frames_per_second), 1)
            self.num_frames = min(self.num_frames or by_duration, by_duration)

    def _settle(self, times: NDArray[np.float64]) -> None:
        """What is known once all frames were seen: their number, their rate, and when they are shown."""
        self.num_frames = len(times)
        steps = np.diff(times)
        if not len(steps) or not (steps > 0).all():
            return
        usual = float(np.median(steps))
        rate = len(steps) / float(times[-1] - times[0])
        if np.abs(steps - usual).max() > VARIES * usual:
            self.times = times - times[0]
            self.frames_per_second = rate
        elif self.frames_per_second is None or abs(rate / self.frames_per_second - 1) > 0.01:
            self.frames_per_second = rate

    def _losses(
        self, count: int, reader: Reader, container: av.container.InputContainer, stream: av.VideoStream
    ) -> None:
        expected, duration = stream.frames - reader.hidden, _seconds(container, stream)
        rate = stream.average_rate
        if stream.frames and duration and rate:
            # An edit list may leave out the end, too.
            expected = min(expected, round(duration * float(rate)))
        # Some durations are counted from 0, some from where the file begins.
        ends = reader.end - min((container.start_time or 0) / av.time_base, 0)
        self.lost = None
        if count < expected:
            self.lost = (
                f"{self.path} is cut short or damaged: {count} of its {expected} frames could be decoded, "
                "the others are lost."
            )
        elif not stream.frames and _says_duration(container) and duration and ends < 0.95 * duration - 0.5:
            self.lost = (
                f"{self.path} is cut short or damaged: it ends after {ends:.1f} of {duration:.1f} seconds; {count} "
                "frames could be decoded, the others are lost."
            )
        elif reader.damaged:
            self.lost = (
                f"{self.path} is damaged: {reader.damaged} of its packets could not be decoded whole; {count} frames "
                "could."
            )
        elif self.path.suffix.lower() == ".gif" and _last_byte(self.path) != b";":
            self.lost = (
                f"{self.path} is cut short: {count} frames could be decoded, a GIF does not say how many there were."
            )


def _seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _says_duration(container: av.container.InputContainer) -> bool:
    # Elsewhere FFmpeg estimates it.
    return any(name in container.format.name for name in ("matroska", "webm", "flv", "asf", "mov"))


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read()


def _display_matrix(frame: VideoFrame) -> bytes | None:
    data = cast("SideData | None", frame.side_data.get("DISPLAYMATRIX"))
    return None if data is None else bytes(data)


def _upright(frame: VideoFrame, size: tuple[int, int], matrix: bytes | None) -> Pixels:
    """The frame as it is meant to be seen: phones store it as the sensor lies, and a matrix beside it.

    `size` is its (height, width) before it is turned.
    """
    pixels = cast(Pixels, frame.to_ndarray(format="rgb24", width=size[1], height=size[0]))
    if matrix is None:
        return pixels
    # A pixel at (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = a, d
    else:
        pixels, across, down = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


class VideoWriter:
    """Writes frames uint8 `[H, W, 3]` into an MP4 file: H.264 where that encoder is there, else MPEG-4 or VP9.

    All frames have the first one's size; `times` are the seconds they are shown at where that is not at an even rate.
    An odd side grows by one pixel, the border's copy: the usual players
    take even sides only. Use it with `with`: the file appears when it is complete. OSError where it cannot be
    written.
    """

    def __init__(self, path: Path, frames_per_second: float, times: Sequence[float] | None = None) -> None:
        self._rate = Fraction(frames_per_second).limit_denominator(1001)
        self._times, self._count = times, 0
        self._path, self._draft = path, path.with_name(f".{path.name}")
        self._container = av.open(str(self._draft), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream: av.VideoStream | None = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            try:
                if kind is None and self._stream is not None:
                    self._container.mux(self._stream.encode())
            finally:
                self._container.close()
            if kind is None:
                os.replace(self._draft, self._path)
        finally:
            self._draft.unlink(missing_ok=True)

    def write(self, pixels: Pixels) -> None:
        """Append one frame."""
        height, width = pixels.shape[:2]
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._stream is None:
            self._stream = self._add_stream(*pixels.shape[:2])
        frame = VideoFrame.from_ndarray(pixels, format="rgb24")
        if self._times is not None and self._count < len(self._times):
            after = self._times[self._count + 1 : self._count + 2]
            shown = float(after[0] - self._times[self._count]) if len(after) else float(1 / self._rate)
            frame.time_base = TICK
            frame.pts, frame.duration = (max(round(at / TICK), 0) for at in (self._times[self._count], shown))
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def _add_stream(self, height: int, width: int) -> av.VideoStream:
        name, options = next((name, options) for name, options in _ENCODERS if name in av.codecs_available)
        if self._times is not None:
            # Frames that are coded out of order would shorten a file whose rate varies.
            options = {**options, "bf": "0"}
        stream = self._container.add_stream(name, rate=self._rate, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        if self._times is not None:
            stream.codec_context.time_base = TICK
        # The matrix the conversion from RGB uses; untagged, players would guess it from the size.
        stream.codec_context.colorspace = 5
        return stream
