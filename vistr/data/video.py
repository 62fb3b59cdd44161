"""Video files in and out: any container and codec that FFmpeg reads, one frame at a time."""

from __future__ import annotations

import os
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

from vistr.errors import UserError

Pixels = NDArray[np.uint8]

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif", ".mpg", ".mpeg", ".m2v", ".ts", ".mts", ".m2ts"),
    *(".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".vob", ".mxf", ".dv", ".mjpeg", ".h264", ".hevc"),
)

# Encoders in the order of preference; wheels of PyAV built elsewhere may lack the first.
_ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"crf": "20", "preset": "veryfast"}),
    ("libopenh264", {"b": "8M"}),
    ("mpeg4", {"qscale": "3", "flags": "+qscale"}),
    ("libvpx-vp9", {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "6"}),
)


class VideoFile:
    """The frames of a video file as uint8 `[H, W, 3]` RGB, turned upright, decoded anew by every iteration.

    `size` is the upright (height, width); `frames_per_second` the mean rate (None: the file says none);
    `num_frames` what the file says or its duration suggests (None: neither). Where packets are damaged or
    missing, the frames that decode come all the same and `lost` says, after an iteration, what did not.

    Raises:
        UserError: the file is no video, has no frame that decodes, or its frames change their size.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.stem
        self.lost: str | None = None
        self.times: Sequence[float] | None = None
        self.frames_per_second: float | None = None
        self.num_frames: int | None = None
        self._exact = False
        first = next(iter(self), None)
        if first is None:
            raise UserError(f"{path} holds no frame that can be decoded.")
        self.size: tuple[int, int] = (first.shape[0], first.shape[1])

    def __iter__(self) -> Iterator[Pixels]:
        size: tuple[int, ...] | None = None
        count, damaged = 0, 0
        with _open(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            self._describe(container, stream)
            for frame in _decoded(container, stream):
                if frame is None:
                    damaged += 1
                    continue
                pixels = _upright(frame)
                if size is not None and pixels.shape != size:
                    raise UserError(
                        f"{self.path}: frame {count} is {pixels.shape[1]}x{pixels.shape[0]}, the frames before are "
                        f"{size[1]}x{size[0]}: convert it to one size first."
                    )
                size = pixels.shape
                damaged += frame.is_corrupt
                count += 1
                yield pixels
        self.lost = self._losses(count, damaged)

    def _describe(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        rate = stream.average_rate or stream.guessed_rate
        self.frames_per_second = float(rate) if rate else None
        self.num_frames, self._exact = stream.frames or None, stream.frames > 0
        if self.num_frames is None and self.frames_per_second and container.duration:
            self.num_frames = max(round(container.duration / av.time_base * self.frames_per_second), 1)

    def _losses(self, count: int, damaged: int) -> str | None:
        # A number that follows from the duration may be off by a few.
        expected = (self.num_frames or 0) - (0 if self._exact else 2 + (self.num_frames or 0) // 20)
        if self.num_frames and count < expected:
            total = f"{self.num_frames}" if self._exact else f"about {self.num_frames}"
            return (
                f"{self.path} is cut short or damaged: {count} of its {total} frames could be decoded, "
                "the others are lost."
            )
        if damaged:
            return f"{self.path} is damaged: {damaged} of its packets could not be decoded whole; {count} frames could."
        if self.path.suffix.lower() == ".gif" and _last_byte(self.path) != b";":
            return f"{self.path} is cut short: {count} frames could be decoded, a GIF does not say how many there were."
        return None


def _open(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        if path.is_file() and path.stat().st_size == 0:
            raise UserError(f"{path} is empty: there is no video in it.") from error
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} is not a video that can be read ({reason}).") from error
    if not container.streams.video:
        kinds = " and ".join(sorted({stream.type for stream in container.streams})) or "data of an unknown kind"
        container.close()
        raise UserError(f"{path} has no video in it, only {kinds}.")
    return container


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read()


def _decoded(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[VideoFrame | None]:
    """Frames as they are decoded, None for a packet that cannot be; a stream that breaks off just ends."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, OSError):
            yield None
            return
        try:
            yield from packet.decode()
        except av.EOFError:
            return
        except av.FFmpegError:
            yield None


def _upright(frame: VideoFrame) -> Pixels:
    """The frame as it is meant to be seen: phones store it as the sensor lies, and a matrix beside it."""
    pixels = cast(Pixels, frame.to_ndarray(format="rgb24"))
    matrix = cast("SideData | None", frame.side_data.get("DISPLAYMATRIX"))
    if matrix is None:
        return pixels
    # A pixel at (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(matrix), np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = a, d
    else:
        pixels, across, down = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


class VideoWriter:
    """Writes frames uint8 `[H, W, 3]` into an MP4 file: H.264 where that encoder is there, else MPEG-4 or VP9.

    All frames have the first one's size. An odd side grows by one pixel, the border's copy: the usual players
    take even sides only. Use it with `with`: the file appears when it is complete. OSError where it cannot be
    written.
    """

    def __init__(self, path: Path, frames_per_second: float) -> None:
        self._rate = Fraction(frames_per_second).limit_denominator(1001)
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
        self._container.mux(self._stream.encode(VideoFrame.from_ndarray(pixels, format="rgb24")))

    def _add_stream(self, height: int, width: int) -> av.VideoStream:
        name, options = next((name, options) for name, options in _ENCODERS if name in av.codecs_available)
        stream = self._container.add_stream(name, rate=self._rate, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        # The matrix the conversion from RGB uses; untagged, players would guess it from the size.
        stream.codec_context.colorspace = 5
        return stream
