"""Video files as cameras, phones, cutters and recorders leave them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.frame import VideoFrame

from vistr.data.video import VideoFile, VideoWriter
from vistr.errors import UserError

HEIGHT, WIDTH, RATE = 48, 80, 25
# The seconds at which the frames of a screen recording are shown: nothing moves for a while.
IRREGULAR = [0.0, 0.04, 0.08, 0.5, 0.54, 0.58, 2.0, 2.04, 2.08, 2.12, 3.6, 3.64]


def shade(number: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 8 * number, np.uint8)


def encode(
    container: av.container.OutputContainer, stream: av.VideoStream, times: Sequence[float], size: tuple[int, int]
) -> None:
    for number, time in enumerate(times):
        frame = VideoFrame.from_ndarray(np.full((*size, 3), 8 * number, np.uint8), format="rgb24")
        frame.time_base = Fraction(1, 1000)
        frame.pts = round(1000 * time)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write(path: Path, times: Sequence[float], codec: str = "libx264", shape: Fraction | None = None) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options={"g": "10"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        if codec != "mpeg2video":
            stream.codec_context.time_base = Fraction(1, 1000)
        if shape is not None:
            stream.codec_context.sample_aspect_ratio = shape
        encode(container, stream, times, (HEIGHT, WIDTH))
    return path


def even(count: int) -> list[float]:
    return [number / RATE for number in range(count)]


def shades(video: VideoFile) -> list[int]:
    return [round(float(frame.mean()) / 8) for frame in video]


def test_a_cut_without_encoding_anew_loses_nothing(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4", even(30))
    path = tmp_path / "cut.mp4"
    # As `ffmpeg -ss 0.6 -i whole.mp4 -c copy`: from the key frame before, and an edit list that hides the lead-in.
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts * packet.time_base >= Fraction(10, RATE):
                shift = round(Fraction(15, RATE) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                target.mux(packet)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 20
    video = VideoFile(path)
    assert shades(video) == list(range(15, 30))
    assert (video.lost, video.num_frames, video.times) == (None, 15, None)


def test_an_end_that_an_edit_list_hides_is_not_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", even(30))
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12
    (duration,) = struct.unpack_from(">I", content, at)
    struct.pack_into(">I", content, at, duration // 2)
    path.write_bytes(content)
    video = VideoFile(path)
    assert 14 <= len(shades(video)) <= 16
    assert video.lost is None


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.mp4", "libx264"), ("a.mov", "mpeg4")]
)
def test_frames_of_a_variable_rate_are_all_there_and_shown_at_their_times(
    name: str, codec: str, tmp_path: Path
) -> None:
    video = VideoFile(write(tmp_path / name, IRREGULAR, codec))
    frames = list(video)
    assert video.lost is None
    assert len(frames) == video.num_frames == len(IRREGULAR)
    assert video.times == pytest.approx(IRREGULAR, abs=0.002)
    assert video.frames_per_second == pytest.approx(11 / 3.64, rel=0.01)
    assert video.times is not None
    assert video.frames_per_second is not None
    with VideoWriter(tmp_path / "overlay.mp4", video.frames_per_second, video.times) as writer:
        for frame in frames:
            writer.write(frame)
    drawn = VideoFile(tmp_path / "overlay.mp4")
    assert np.abs(np.subtract(shades(drawn), shades(video))).max() <= 1
    assert drawn.times == pytest.approx(IRREGULAR, abs=0.002)
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(3.64 + 3.64 / 11, abs=0.02)


def test_an_avi_that_repeats_frames_has_lost_none(tmp_path: Path) -> None:
    times = [number / RATE for number in (0, 1, 2, 12, 13, 50, 51, 52)]
    video = VideoFile(write(tmp_path / "a.avi", times, "mpeg2video"))
    assert len(list(video)) == len(times)
    assert video.lost is None
    assert video.times == pytest.approx(times)


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
def test_a_video_that_begins_late_has_lost_none(name: str, tmp_path: Path) -> None:
    video = VideoFile(write(tmp_path / name, [5 + time for time in even(20)]))
    assert len(list(video)) == 20
    assert video.lost is None


@pytest.mark.parametrize("encoder", ["libx264", "mpeg4", "libvpx-vp9"])
def test_every_encoder_takes_times(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vistr.data.video as module

    monkeypatch.setattr(module, "_ENCODERS", [one for one in module._ENCODERS if one[0] == encoder])
    with VideoWriter(tmp_path / "a.mp4", 3, IRREGULAR) as writer:
        for number in range(len(IRREGULAR)):
            writer.write(shade(number))
    video = VideoFile(tmp_path / "a.mp4")
    assert len(list(video)) == len(IRREGULAR)
    assert video.times == pytest.approx(IRREGULAR, abs=0.002)


def test_milliseconds_of_a_container_are_no_variable_rate(tmp_path: Path) -> None:
    video = VideoFile(write(tmp_path / "a.mkv", [round(number / 30, 3) for number in range(20)]))
    assert len(list(video)) == 20
    assert video.times is None
    assert video.frames_per_second == pytest.approx(30, rel=0.02)


def with_sound(path: Path, seconds: float) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000)
        for second in range(round(seconds)):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, 8000 * second
            container.mux(sound.encode(frame))
        stream.codec_context.time_base = Fraction(1, 1000)
        encode(container, stream, even(20), (HEIGHT, WIDTH))
        container.mux(sound.encode())
    return path


def test_sound_that_is_longer_than_the_picture_is_no_damage(tmp_path: Path) -> None:
    video = VideoFile(with_sound(tmp_path / "a.mkv", 9))
    assert len(list(video)) == 20
    assert video.lost is None


def test_a_file_without_a_count_that_is_cut_short_says_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"g": "5"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for _ in range(100):
            pixels = generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            container.mux(stream.encode(VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video = VideoFile(path)
    count = len(list(video))
    assert 30 < count < 70
    assert video.lost is not None
    assert f"of 4.0 seconds; {count} frames could be decoded" in video.lost


def add_cover(container: av.container.OutputContainer, marked: bool) -> av.VideoStream:
    cover = container.add_stream("mjpeg", rate=1)
    cover.height, cover.width, cover.pix_fmt = 64, 64, "yuvj420p"
    if marked:
        cover.disposition = Disposition.attached_pic
    return cover


def encode_cover(container: av.container.OutputContainer, cover: av.VideoStream) -> None:
    container.mux(cover.encode(VideoFrame.from_ndarray(np.full((64, 64, 3), 250, np.uint8), format="rgb24")))
    container.mux(cover.encode())


@pytest.mark.parametrize(
    ("name", "marked"), [("a.mp4", True), ("a.mkv", True), ("a.mp4", False), ("a.mkv", False), ("a.mov", False)]
)
def test_the_stream_that_moves_is_read_and_not_a_cover_picture(name: str, marked: bool, tmp_path: Path) -> None:
    with av.open(str(tmp_path / name), "w") as container:
        cover = add_cover(container, marked)
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        encode_cover(container, cover)
        encode(container, stream, even(12), (HEIGHT, WIDTH))
    with av.open(str(tmp_path / name)) as container:
        assert len(container.streams.video) == 2
    video = VideoFile(tmp_path / name)
    assert shades(video) == list(range(12))
    assert (video.size, video.lost) == ((HEIGHT, WIDTH), None)


def test_sound_with_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=8000)
        cover = add_cover(container, marked=True)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
        encode_cover(container, cover)
    with pytest.raises(UserError, match=r"has no video in it, only a cover picture and audio"):
        VideoFile(path)


@pytest.mark.parametrize(
    ("shape", "size"), [(Fraction(4, 3), (48, 107)), (Fraction(1, 2), (96, 80)), (Fraction(1), (48, 80))]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_anamorphic_video_has_square_pixels(name: str, shape: Fraction, size: tuple[int, int], tmp_path: Path) -> None:
    video = VideoFile(write(tmp_path / name, even(5), shape=shape))
    assert video.size == size
    assert {frame.shape for frame in video} == {(*size, 3)}


def test_titles_in_an_old_encoding_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Strasse"
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        encode(container, stream, even(4), (HEIGHT, WIDTH))
    path.write_bytes(path.read_bytes().replace(b"Strasse", b"Stra\xdfe!"))
    assert len(list(VideoFile(path))) == 4


@pytest.mark.parametrize("name", ["a: b.mp4", "12:30.mp4", "http:x.mp4", "100%03d.mp4", "Straße 汽车.mp4", "-x.mp4"])
def test_every_name_is_a_file_and_no_address(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "x.mp4", even(3)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(list(VideoFile(Path(name)))) == 3


def test_a_playlist_reads_nothing_that_it_names(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.ts", even(10), "mpeg2video")
    lists = {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "b.mp4": f"\ufeff#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "c.txt": f"ffconcat version 1.0\nfile '{secret}'\n",
        "d.mpd": f'<?xml version="1.0"?><MPD><BaseURL>{secret}</BaseURL></MPD>',
        "e.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    }
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=r"is a playlist, which names other files"):
            VideoFile(tmp_path / name)
    # Not seen by its first line: the demuxer is refused all the same.
    (tmp_path / "f.mp4").write_text(f"# a remark\nffconcat version 1.0\nfile '{secret}'\n")
    with pytest.raises(UserError, match="is not a video that can be read"):
        VideoFile(tmp_path / "f.mp4")


def test_frames_that_would_take_all_memory_are_refused(tmp_path: Path) -> None:
    import io

    from PIL import Image

    written = io.BytesIO()
    Image.new("P", (8, 8)).save(written, "GIF")
    content = bytearray(written.getvalue())
    struct.pack_into("<HH", content, 6, 12000, 12000)
    (tmp_path / "a.gif").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.gif has frames of 12000x12000 pixels"):
        VideoFile(tmp_path / "a.gif")


def test_a_shape_of_pixels_that_no_camera_has_is_left_alone(tmp_path: Path) -> None:
    assert VideoFile(write(tmp_path / "a.mkv", even(3), shape=Fraction(40))).size == (48, 80)


def test_a_codec_that_is_unknown_is_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", even(4))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    with pytest.raises(UserError, match=r"a\.mp4 is coded in a way that FFmpeg does not know"):
        VideoFile(path)
