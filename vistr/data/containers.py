"""Opening a video file: nothing but the file itself is read, and the stream that moves is found."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.stream import Disposition
from av.video.frame import VideoFrame

from vistr.data.images import MAX_PIXELS
from vistr.errors import UserError, shown
from vistr.pointers import refuse_stand_in

# Playlists and scripts that name other files or addresses, devices, and what takes any text for a picture.
_REFUSED = {
    *("hls", "concat", "dash", "imf", "lavfi", "sdp", "rtsp", "rtp", "sap", "hds", "smoothstreaming"),
    *("image2", "image2pipe", "webm_dash_manifest", "avisynth", "vapoursynth", "dvdvideo", "bluray"),
    *("alsa", "oss", "fbdev", "kmsgrab", "video4linux2,v4l2", "tty"),
}
_OPTIONS = {
    "format_whitelist": ",".join(sorted(av.formats_available - _REFUSED)),
    "protocol_whitelist": "file",
}
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<MPD", b"v=0\r\n", b"v=0\n")
_PREVIEWS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
MOST_STRETCHED = 8  # what no pixel is wide or high


def open_container(path: Path) -> av.container.InputContainer:
    """The opened file; UserError where it is no video that can be read, is empty, or names other files."""
    try:
        with path.open("rb") as file:
            head = file.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n")
        if any(head.startswith(mark) for mark in _PLAYLISTS) or (head.startswith(b"<?xml") and b"<MPD" in head):
            raise UserError(f"{path} is a playlist, which names other files: give those.")
        # The prefix, so that no name is taken for an address; titles in old encodings are not needed.
        container = av.open(f"file:{path}", metadata_errors="ignore", options=_OPTIONS)
    except (av.FFmpegError, OSError, ValueError) as error:
        if path.is_file() and path.stat().st_size == 0:
            raise UserError(f"{path} is empty: there is no video in it.") from error
        refuse_stand_in(path)
        reason = getattr(error, "strerror", None) or shown(error, 100)
        raise UserError(f"{path} is not a video that can be read ({reason}).") from error
    return container


def moving_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The stream to read: FFmpeg's best, cover pictures left out. Raises UserError where there is none."""
    moving = [stream for stream in container.streams.video if not stream.disposition & _PREVIEWS]
    if not moving:
        kinds = sorted({"a cover picture" if stream.type == "video" else stream.type for stream in container.streams})
        raise UserError(f"{path} has no video in it, only {' and '.join(kinds) or 'data of an unknown kind'}.")
    # One frame is a cover that is not marked as one, where another stream has more.
    moving = [stream for stream in moving if stream.frames != 1] or moving
    best = container.streams.best("video")
    chosen = next((stream for stream in moving if best is not None and stream.index == best.index), moving[0])
    codec: Any = chosen.codec_context
    if codec is None:
        raise UserError(f"{path} is coded in a way that FFmpeg does not know: it is damaged, or of a rare kind.")
    if codec.width * codec.height > MAX_PIXELS:
        size = f"{codec.width}x{codec.height}"
        raise UserError(f"{path} has frames of {size} pixels: frames of up to {MAX_PIXELS:,} pixels are read.")
    return chosen


def square_size(stream: av.VideoStream, frame: VideoFrame) -> tuple[int, int]:
    """(height, width) of a frame with square pixels: anamorphic video is stored narrower than it is shown."""
    shape = stream.sample_aspect_ratio or Fraction(1)
    stretched = max(shape, 1 / shape) if shape > 0 else 0
    if not stretched or stretched > MOST_STRETCHED or frame.width * frame.height * stretched > MAX_PIXELS:
        return frame.height, frame.width
    if shape >= 1:
        return frame.height, round(frame.width * shape)
    return round(frame.height / shape), frame.width


class Reader:
    """The frames of a stream, and what could not be read of it."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self._container, self._stream = container, stream
        self.hidden = 0  # frames that an edit list cuts off, and packets that repeat the frame before
        self.damaged = 0
        self.end = 0.0  # the second at which the last packet of any stream ends

    def __iter__(self) -> Iterator[VideoFrame]:
        """Frames as they are decoded; a stream that breaks off just ends."""
        # Where the file does not count its frames, the other streams tell how far it goes.
        chosen = (self._stream,) if self._stream.frames else ()
        # In an AVI every tick is a frame, and those that repeat the one before are passed over in silence.
        is_avi, last = self._container.format.name == "avi", -1
        packets = cast("Iterator[av.Packet[Any]]", self._container.demux(*chosen))
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, OSError):
                self.damaged += 1
                return
            if packet.pts is not None and packet.time_base:
                self.end = max(self.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index == self._stream.index:
                self.hidden += packet.is_discard or (packet.size == 0 and packet.dts is not None)
                if is_avi and packet.dts is not None:
                    self.hidden += max(packet.dts - last - 1, 0)
                    last = packet.dts
                try:
                    yield from packet.decode()
                except av.EOFError:
                    return
                except av.FFmpegError:
                    self.damaged += 1
