"""Video files in and out."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

import vistr.data.video
from vistr.data.video import VideoFile, VideoWriter
from vistr.errors import UserError

RED, GREEN, BLUE, GREY = (230, 20, 20), (20, 200, 20), (20, 20, 230), (90, 90, 90)


def corners(height: int = 48, width: int = 80) -> np.ndarray:
    """Red, green / blue, grey: which way up it is can be told."""
    frame = np.empty((height, width, 3), np.uint8)
    frame[: height // 2, : width // 2], frame[: height // 2, width // 2 :] = RED, GREEN
    frame[height // 2 :, : width // 2], frame[height // 2 :, width // 2 :] = BLUE, GREY
    return frame


def noise(number: int, height: int = 48, width: int = 80) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)


def write(path: Path, frames: Sequence[np.ndarray], codec: str, turn: tuple[float, bool] | None = None) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25, 2))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        if turn is not None:
            stream.set_display_rotation(*turn)
        for frame in frames:
            container.mux(stream.encode(VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def quarter_colors(frame: np.ndarray) -> list[tuple[int, int, int]]:
    """The color named in the test that is nearest in the middle of each quarter, row by row."""
    height, width = frame.shape[:2]
    middles = [frame[y, x].astype(int) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [min((RED, GREEN, BLUE, GREY), key=lambda c: np.abs(middle - c).sum()) for middle in middles]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "mpeg4"), ("a.mov", "mpeg4"), ("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9"), ("a.gif", "gif")],
)
def test_frames_size_and_rate_of_every_sort_of_file_are_read_again_and_again(
    name: str, codec: str, tmp_path: Path
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    video = VideoFile(write(tmp_path / name, [corners()] * 12, codec))
    for _ in range(2):
        frames = list(video)
        assert len(frames) == 12
        assert {(frame.shape, frame.dtype) for frame in frames} == {((48, 80, 3), np.dtype(np.uint8))}
        assert quarter_colors(frames[5]) == [RED, GREEN, BLUE, GREY]
    assert (video.size, video.num_frames, video.lost) == ((48, 80), 12, None)
    assert video.frames_per_second == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("degrees", "mirrored", "expected"),
    [
        (90, False, [GREEN, GREY, RED, BLUE]),  # counterclockwise
        (180, False, [GREY, BLUE, GREEN, RED]),
        (-90, False, [BLUE, RED, GREY, GREEN]),
        (0, True, [GREEN, RED, GREY, BLUE]),
    ],
)
def test_frames_stand_upright_as_the_file_says(
    degrees: float, mirrored: bool, expected: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    video = VideoFile(write(tmp_path / "turned.mp4", [corners()] * 3, "mpeg4", (degrees, mirrored)))
    assert video.size == ((80, 48) if abs(degrees) == 90 else (48, 80))
    for frame in video:
        assert frame.shape == (*video.size, 3)
        assert quarter_colors(frame) == expected


@pytest.mark.parametrize("keep", [0.5, 0.8])
def test_of_a_file_that_is_cut_short_what_is_there_is_read_and_the_loss_is_said(keep: float, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    with VideoWriter(path, 25) as writer:
        for number in range(40):
            writer.write(noise(number))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    video = VideoFile(path)
    count = len(list(video))
    assert 0 < count < 40
    assert video.lost == (
        f"{path} is cut short or damaged: {count} of its 40 frames could be decoded, the others are lost."
    )
    assert len(list(video)) == count


def test_a_damaged_stretch_does_not_end_the_video(tmp_path: Path) -> None:
    path = write(tmp_path / "damaged.avi", [noise(number) for number in range(30)], "mpeg4")
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : third + 4000] = bytes(4000)
    path.write_bytes(content)
    video = VideoFile(path)
    assert len(list(video)) > 15
    assert video.lost is not None
    assert str(path) in video.lost


def test_a_gif_without_its_end_is_said_to_be_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gif", [corners()] * 6, "gif")
    path.write_bytes(path.read_bytes()[:-30])
    video = VideoFile(path)
    assert len(list(video)) > 0
    assert video.lost is not None
    assert "cut short" in video.lost


def test_what_is_no_video_is_said_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for content, words in ((b"", "is empty"), (b"not a video " * 99, "is not a video that can be read")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=words) as error:
            VideoFile(path)
        assert str(path) in str(error.value)
    with pytest.raises(UserError, match="No such file"):
        VideoFile(tmp_path / "none.mp4")


def test_a_file_with_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UserError, match="has no video in it, only audio"):
        VideoFile(path)


def test_frames_that_change_their_size_are_refused_with_both_sizes(tmp_path: Path) -> None:
    # MPEG transport streams can be laid end to end.
    parts = [write(tmp_path / f"{w}.ts", [noise(k, 48, w) for k in range(15)], "mpeg2video") for w in (80, 64)]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(UserError, match=r"both\.ts: frame \d+ is 64x48, the frames before are 80x48"):
        list(VideoFile(path))


@pytest.mark.parametrize("encoder", [name for name, _ in vistr.data.video._ENCODERS])
def test_what_is_written_is_read_with_size_and_rate_whatever_the_encoder(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if encoder not in av.codecs_available:
        pytest.skip(f"this PyAV has no {encoder}")
    monkeypatch.setattr(vistr.data.video, "_ENCODERS", [e for e in vistr.data.video._ENCODERS if e[0] == encoder])
    with VideoWriter(tmp_path / "a.mp4", 30000 / 1001) as writer:
        for _ in range(20):
            writer.write(corners())
    video = VideoFile(tmp_path / "a.mp4")
    frames = list(video)
    assert (len(frames), video.size) == (20, (48, 80))
    assert video.frames_per_second == pytest.approx(30000 / 1001)
    assert np.abs(frames[9][5:19, 5:35].astype(int) - RED).max() < 12


def test_an_odd_side_grows_by_a_copy_of_its_border(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        for _ in range(3):
            writer.write(corners(33, 65))
    video = VideoFile(tmp_path / "a.mp4")
    assert video.size == (34, 66)
    assert np.abs(next(iter(video))[-1, -12:].astype(int) - GREY).max() < 12


def test_a_video_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / ".a.mp4").symlink_to("/dev/full")  # a disk with no space left

    def write_long() -> None:
        with VideoWriter(tmp_path / "a.mp4", 10) as writer:
            for number in range(60):
                writer.write(noise(number))

    with pytest.raises(OSError, match="No space left"):
        write_long()
    assert list(tmp_path.iterdir()) == []


def test_a_frame_is_freed_as_soon_as_the_next_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "turned.mp4", [corners()] * 20, "mpeg4", (90, False))
    video = VideoFile(path)
    gc.collect()
    gc.disable()
    try:
        for _ in video:
            pass
        alive = sum(type(one) is VideoFrame for one in gc.get_objects())
    finally:
        gc.enable()
    assert alive <= 2
