"""The streaming core: which clips the network sees, what comes out and when, and what is held meanwhile."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.inference.oracle import video_clip_frames
from vistr.data.images import read_image
from vistr.data.videos import Category, Video, VideoSet
from vistr.drawing.frames import draw
from vistr.errors import UserError
from vistr.inference import predictor as predictor_module
from vistr.inference.given_frames import rgb_image
from vistr.inference.linking import LinkedFrame
from vistr.inference.postprocess import clip_tracks
from vistr.inference.predictor import Predictor
from vistr.inference.video_clips import ClipSettings

HEIGHT, WIDTH = 24, 40
CATEGORIES = (Category(3, "cat"), Category(8, "dog"))


class BrightSpot:
    """Stands for the network: slot 0 finds what is white, slot 1 nothing; and notes which frames it was shown.

    Frames carry their number as the brightness of their last pixel.
    """

    def __init__(self, label: int = 2) -> None:
        self.label, self.clips = label, deque[list[int]](maxlen=20)

    def __call__(self, images: np.ndarray, padding: np.ndarray) -> Any:
        _, num_frames, height, width, _ = images.shape
        red = images[0, ..., 0]
        valid = ~padding[0, 0]
        inside = valid.any(1).sum(), valid.any(0).sum()
        self.clips.append([int(value) for value in red[:, inside[0] - 1, inside[1] - 1]])
        logits = np.zeros((num_frames, 2, 4), np.float32)
        logits[:, 0, self.label], logits[:, 1, 3] = 3, 9
        masks = np.full((num_frames, 2, height // 4, width // 4), -5, np.float32)
        masks[:, 0] = np.where(red[:, ::4, ::4] > 240, 5, -5)
        tensors = {"logits": logits.reshape(1, -1, 4), "masks": masks.reshape(1, -1, height // 4, width // 4)}
        return SimpleNamespace(**{name: SimpleNamespace(asnumpy=lambda v=v: v) for name, v in tensors.items()})


def frame(number: int) -> np.ndarray:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    left = number % 5 * 4  # masks are a quarter of the frames' size
    pixels[:, left : left + 12] = 255
    pixels[-1, -1] = number % 200
    return pixels


def predictor(model: BrightSpot, num_frames: int = 4, overlap: float = 0.5, min_score: float = 0.0) -> Predictor:
    settings = ClipSettings(num_frames, HEIGHT, WIDTH, 32, overlap)
    return Predictor(model, settings, categories=CATEGORIES, min_score=min_score)  # type: ignore[arg-type]


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("length", [1, 3, 4, 5, 6, 7, 9, 16, 17])
def test_a_stream_is_cut_into_the_clips_of_a_video_of_known_length(length: int, overlap: float) -> None:
    model = BrightSpot()
    finder = predictor(model, overlap=overlap)
    out = list(finder.stream(frame(number) for number in range(length)))
    assert list(model.clips) == video_clip_frames(length, 4, finder.settings.shared_frames)
    assert [tracks.index for tracks in out] == list(range(length))


def test_every_frame_comes_out_with_its_image_and_what_is_in_it() -> None:
    frames = [frame(number) for number in range(11)]
    for tracks in predictor(BrightSpot()).stream(iter(frames)):
        assert tracks.image is frames[tracks.index]
        (track,) = tracks
        assert (track.id, track.label, track.name) == (0, 2, "dog")
        assert np.array_equal(track.mask, frames[tracks.index][..., 0] == 255)


def test_clips_whose_masks_agree_less_than_asked_for_are_not_joined() -> None:
    finder = predictor(BrightSpot())
    joined = {track.id for tracks in finder.stream(frame(number) for number in range(11)) for track in tracks}
    finder.settings = replace(finder.settings, min_iou=1.01)
    apart = {track.id for tracks in finder.stream(frame(number) for number in range(11)) for track in tracks}
    assert len(apart) > len(joined)


def test_frames_come_out_before_the_video_ends() -> None:
    read = []

    def frames() -> Iterator[Image.Image]:
        for number in range(100):
            read.append(number)
            yield Image.fromarray(frame(number))

    first = next(predictor(BrightSpot()).stream(frames()))
    assert first.index == 0
    assert 6 <= len(read) <= 12  # the second clip has begun, at frame 2, and ended; two more may be read ahead


def test_doubtful_tracks_and_those_without_a_name_are_left_out() -> None:
    def seen(finder: Predictor) -> int:
        return sum(len(tracks) for tracks in finder.stream(map(frame, range(9))))

    assert seen(predictor(BrightSpot())) == 9
    assert seen(predictor(BrightSpot(), min_score=0.9)) == 0
    assert seen(predictor(BrightSpot(label=0))) == 0


def test_a_stream_of_nothing_gives_nothing() -> None:
    assert list(predictor(BrightSpot()).stream([])) == []


def test_frames_of_several_sizes_are_refused() -> None:
    frames = [frame(0), frame(1), frame(2)[:20]]
    with pytest.raises(UserError, match="Frame 2 is 40x20, the frames before are 40x24"):
        list(predictor(BrightSpot()).stream(frames))


def test_grey_and_transparent_frames_and_images_of_every_mode_find_what_rgb_frames_do() -> None:
    expected = [len(tracks) for tracks in predictor(BrightSpot()).stream([frame(k) for k in range(5)])]
    assert sum(expected) > 0
    grey = [frame(k)[..., 0] for k in range(5)]
    clear = [np.dstack([frame(k), np.zeros((HEIGHT, WIDTH), np.uint8)]) for k in range(5)]
    images = [[Image.fromarray(pixels).convert(mode) for pixels in grey] for mode in ("L", "LA", "P", "RGBA", "CMYK")]
    given: list[Any] = [grey, np.stack(grey), [one[..., None] for one in grey], clear, np.stack(clear), *images]
    for frames in given:
        streamed = list(predictor(BrightSpot()).stream(frames))
        assert [len(tracks) for tracks in streamed] == expected
        assert draw(streamed[0]).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("kind", ["jpg", "png", "tif"])
def test_a_file_that_was_opened_is_turned_upright(kind: str, tmp_path: Path) -> None:
    stored = Image.fromarray(frame(0))
    exif = stored.getexif()
    exif[0x0112] = 6
    stored.save(tmp_path / f"a.{kind}", exif=exif)
    for opened in (Image.open(tmp_path / f"a.{kind}"), read_image(tmp_path / f"a.{kind}")):
        assert rgb_image(opened, 0).size == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        ([frame(0) / 255], r"Frame 0 is a float64 array \[24, 40, 3\]: .*255 \* frame"),
        ([frame(0), frame(0).astype(np.uint16) * 257], r"Frame 1 is a uint16 array .*frame // 256"),
        ([frame(0) > 100], "Frame 0 is a bool array"),
        ([frame(0).transpose(2, 0, 1)], r"its channels first: give frame\.transpose\(1, 2, 0\)"),
        (np.stack([frame(0).transpose(2, 0, 1)] * 2), "its channels first"),
        ([frame(0)[..., :2]], r"array \[24, 40, 2\]: frames are uint8"),
        ([frame(0)[None]], r"array \[1, 24, 40, 3\]: frames are uint8"),
        ([frame(0)[:0]], r"array \[0, 40, 3\]: frames are uint8"),
        ([frame(0).tolist()], "Frame 0 is a list: frames are uint8"),
        ([Image.fromarray(frame(0)[..., 0].astype(np.uint16))], "mode I;16, more than 8 bits"),
        ([Image.new("F", (WIDTH, HEIGHT))], "mode F, more than 8 bits"),
        (frame(0), "This is a single frame"),
        (frame(0)[..., 0], "This is a single frame"),
        (frame(0).transpose(2, 0, 1), r"An array \[3, 24, 40\] is one frame, its channels first, or 3 grey ones"),
        (Image.fromarray(frame(0)), "This is a single frame"),
        ("street.mp4", r"open_video\('street\.mp4'\) gives its frames"),
        (Path("street.mp4"), "open_video"),
    ],
)
def test_what_is_no_frame_is_one_sentence(frames: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        list(predictor(BrightSpot()).stream(frames))
    assert len(str(error.value)) < 300


def test_a_datasets_video_gives_the_same_tracks_as_its_frames_in_a_stream(tmp_path: Path) -> None:
    names = []
    for number in range(13):
        names.append(f"{number}.png")
        Image.fromarray(frame(number)).save(tmp_path / names[-1])
    video = Video(5, HEIGHT, WIDTH, tuple(names), ())
    video_set = VideoSet(tmp_path / "a.json", tmp_path, CATEGORIES, (video,))
    ((result,),) = predictor(BrightSpot()).results(video_set, [video])
    streamed = list(predictor(BrightSpot()).stream(map(frame, range(13))))
    assert (result["video_id"], result["category_id"]) == (5, 8)
    assert result["score"] == pytest.approx(streamed[-1].tracks[0].score)
    assert [mask["counts"].encode() for mask in result["segmentations"]] == [
        tracks.tracks[0].segmentation["counts"] for tracks in streamed
    ]
    assert list(predictor(BrightSpot(), min_score=0.95).results(video_set, [video])) == [[]]


def test_several_videos_give_what_each_gives_alone() -> None:
    lengths = (3, 9, 0, 4, 17, 1)
    videos = [[frame(number) for number in range(first, first + length)] for first, length in enumerate(lengths)]
    together: list[list[LinkedFrame]] = [[]]
    for number, linked in predictor(BrightSpot()).link_all(videos):
        assert number == len(together) - 1
        if linked is None:
            together.append([])
        else:
            together[-1].append(linked)
    assert together[:-1] == [list(predictor(BrightSpot()).link(video)) for video in videos]
    assert [len(frames) for frames in together] == [*lengths, 0]


def test_reading_the_network_and_making_tracks_go_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the three waits until the other two are at work as well: one after the other they would wait for ever."""
    together = threading.Barrier(3, timeout=60)
    model, num_met = BrightSpot(), [0]

    def meet(is_time: bool) -> None:
        if is_time:
            together.wait()
            num_met[0] += 1

    def frames() -> Iterator[np.ndarray]:
        for number in range(9):
            meet(number == 8)  # the third clip's last
            yield frame(number)

    def network(images: np.ndarray, padding: np.ndarray) -> Any:
        meet(len(model.clips) == 1)  # for the second clip
        return model(images, padding)

    def tracks(*args: Any, **keywords: Any) -> Any:
        meet(num_met[0] == 0 and len(model.clips) == 1)  # of the first clip
        return clip_tracks(*args, **keywords)

    monkeypatch.setattr(predictor_module, "clip_tracks", tracks)
    out = list(predictor(network, overlap=0).link(frames()))  # type: ignore[arg-type]
    assert [linked.index for linked in out] == list(range(9))
    assert num_met == [3]


def test_a_slow_source_does_not_hold_back_what_is_known() -> None:
    let_go, out = threading.Event(), []

    def frames() -> Iterator[np.ndarray]:
        yield from map(frame, range(6))
        assert let_go.wait(60)

    for tracks in predictor(BrightSpot()).stream(frames()):
        out.append(tracks.index)
        if out == [0, 1]:
            let_go.set()
    assert out == list(range(6))


@pytest.mark.parametrize("error", [UserError("frame 9 is damaged"), ValueError("odd"), KeyboardInterrupt()])
def test_an_error_of_the_source_comes_after_the_frames_before_it(error: BaseException) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield from map(frame, range(9))
        raise error

    out: list[int] = []
    with pytest.raises(type(error)) as raised:
        out.extend(tracks.index for tracks in predictor(BrightSpot()).stream(frames()))
    assert raised.value is error
    assert out == [0, 1, 2, 3]  # those of the clips that were whole and followed by another
    assert not own_threads()


def test_an_error_in_making_tracks_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise UserError("no tracks")

    monkeypatch.setattr(predictor_module, "clip_tracks", fail)
    with pytest.raises(UserError, match="no tracks"):
        list(predictor(BrightSpot()).stream(map(frame, range(9))))
    assert not own_threads()


def test_an_interrupted_or_abandoned_stream_ends_its_threads_and_its_source() -> None:
    ended = []

    def frames() -> Iterator[np.ndarray]:
        try:
            yield from map(frame, range(100))
        finally:
            ended.append(True)

    def interrupted(images: np.ndarray, padding: np.ndarray) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(predictor(interrupted).stream(frames()))  # type: ignore[arg-type]
    stream = predictor(BrightSpot()).link(frames())
    next(stream)
    assert own_threads()
    stream.close()  # type: ignore[attr-defined]
    assert ended == [True, True]
    assert not own_threads()


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(("ahead", "tracks"))]


def test_what_is_held_does_not_grow_with_the_video() -> None:
    def most_held(length: int) -> int:
        gc.collect()
        tracemalloc.start()
        for _ in predictor(BrightSpot()).stream(map(frame, range(length)), keep_images=False):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    most_held(20)  # what is imported or cached once
    # A frame is 2880 bytes and its code about 500: were they kept, 900 frames would add at least 450,000. The peak
    # itself varies by some 40,000 with the moment at which Python collects its garbage.
    assert most_held(1000) < most_held(100) + 200_000
