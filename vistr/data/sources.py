"""Videos that a user names as input: a file, folders of frames, a pattern, an annotation file."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np

from vistr.data.images import frame_count, image_size, read_frames, read_image
from vistr.data.layouts import find_images
from vistr.data.picture_files import IMAGES, entries_of, images_in, is_hidden, natural
from vistr.data.samples import check_sizes, open_frame
from vistr.data.video import VIDEOS, Pixels, VideoFile
from vistr.data.videos import Video, VideoSet, check_images
from vistr.data.ytvis import read_ytvis
from vistr.errors import UserError


class VideoSource(Protocol):
    """Frames uint8 `[H, W, 3]` RGB that can be gone through more than once, one at a time.

    size: (height, width); frames_per_second, num_frames: None where unknown; lost: after an iteration, a
    sentence about what could not be read of it, or None; times: after an iteration, the second each frame is shown
    at, or None where the frames come at even distances.
    """

    name: str
    size: tuple[int, int]
    frames_per_second: float | None
    num_frames: int | None
    lost: str | None
    times: Sequence[float] | None

    def __iter__(self) -> Iterator[Pixels]: ...


class ImageSequence:
    """Images as a video, in the order given. UserError for one that is damaged or of another size than the first."""

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        self.name, self._paths = name, paths
        self.frames_per_second: float | None = None
        self.num_frames: int | None = len(paths)
        self.lost: str | None = None
        self.times: Sequence[float] | None = None
        width, height = image_size(paths[0])
        self.size: tuple[int, int] = (height, width)

    def __iter__(self) -> Iterator[Pixels]:
        for path in self._paths:
            yield _of_size(np.asarray(read_image(path)), self.size, str(path), self._paths[0].name)


class ImageStack:
    """The frames of one file as a video: a TIFF stack, an animated WebP or PNG, an MPO; UserError as ImageSequence."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = path.stem, path
        self.num_frames: int | None = frame_count(path)
        self.frames_per_second: float | None = None
        self.lost: str | None = None
        self.times: Sequence[float] | None = None
        width, height = image_size(path)
        self.size: tuple[int, int] = (height, width)

    def __iter__(self) -> Iterator[Pixels]:
        times = [0.0]
        for number, (frame, seconds) in enumerate(read_frames(self._path)):
            yield _of_size(np.asarray(frame), self.size, f"{self._path}, frame {number},", "its first one")
            times.append(times[-1] + seconds)
        if times[-1] > 0:
            self.frames_per_second = (len(times) - 1) / times[-1]
            self.times = times[:-1]


def _of_size(pixels: Pixels, size: tuple[int, int], place: str, first: str) -> Pixels:
    if pixels.shape[:2] != size:
        raise UserError(
            f"{place} is {pixels.shape[1]}x{pixels.shape[0]}, but {first} is {size[1]}x{size[0]}: "
            "all frames of a video need one size."
        )
    return pixels


class AnnotatedVideo:
    """A video of a YouTube-VIS file."""

    def __init__(self, video_set: VideoSet, video: Video) -> None:
        self._set, self._video = video_set, video
        folder = Path(video.file_names[0]).parent.name
        self.name = folder or f"video_{video.id}"
        self.size: tuple[int, int] = (video.height, video.width)
        self.frames_per_second: float | None = None
        self.num_frames: int | None = len(video)
        self.lost: str | None = None
        self.times: Sequence[float] | None = None

    def __iter__(self) -> Iterator[Pixels]:
        return dataset_frames(self._set, self._video)


def dataset_frames(video_set: VideoSet, video: Video) -> Iterator[Pixels]:
    """The frames of a dataset's video; UserError for an image that is missing, damaged or of another size."""
    for frame in range(len(video)):
        yield np.asarray(open_frame(video_set, video, frame))


def open_video(path: str | Path) -> VideoSource:
    """One video: a video file, a folder of frames, an image, or a pattern such as "frames/*.jpg".

    UserError where there is none or more than one.
    """
    sources = open_sources(str(path))
    if len(sources) != 1:
        raise UserError(f"{path} holds {len(sources)} videos: name one of them.")
    return sources[0][1]


def open_sources(given: str, images: Path | None = None) -> list[tuple[int, VideoSource]]:
    """The videos that `given` names, with their ids: those of a YouTube-VIS file, otherwise 1, 2, ...

    A folder of frames is a video, a folder of such folders or of video files several. `images` is the folder of the
    annotation file's frames where it is not beside the file. Every source has been looked into: the UserError for
    what is no video comes from here.
    """
    path = Path(given)
    if path.suffix.lower() == ".json" and path.is_file():
        return _annotated(path, images)
    if images is not None:
        raise UserError(f"dataset.images={images} belongs to an annotation file, and input={given} is none.")
    sources: list[VideoSource]
    if path.is_dir():
        sources = _of_folder(path)
        if not sources:
            raise UserError(f"{path} holds no frames: there is no image or video in it, nor in the folders in it.")
    elif path.is_file():
        sources = [_of_file(path)]
    else:
        sources = _of_pattern(given)
    return list(enumerate(sources, 1))


def _of_file(path: Path) -> VideoSource:
    if path.suffix.lower() not in IMAGES:
        return VideoFile(path)
    return ImageStack(path) if frame_count(path) > 1 else ImageSequence(path.stem, [path])


def _of_folder(folder: Path) -> list[VideoSource]:
    """The folder's own frames as a video; where it has none, its video files and the videos of the folders in it."""
    if images := images_in(folder):
        return _of_images(images)
    inside: list[VideoSource] = []
    for path in entries_of(folder):
        if path.is_dir():
            inside += _of_folder(path)
        elif path.suffix.lower() in VIDEOS:
            inside.append(VideoFile(path))
    return inside


def _of_images(paths: Sequence[Path]) -> list[VideoSource]:
    """The images of one folder: the frames of a video, or, where each holds several frames, a video each."""
    if frame_count(paths[0]) > 1:
        return [_of_file(path) for path in paths]
    return [ImageSequence(paths[0].parent.resolve().name or "frames", paths)]


def _of_pattern(pattern: str) -> list[VideoSource]:
    found = sorted((Path(match) for match in glob.glob(pattern, recursive=True)), key=natural)
    found = [path for path in found if not is_hidden(path)]
    files, folders = [path for path in found if path.is_file()], [path for path in found if path.is_dir()]
    # A pattern such as "videos/**" matches the folders and what is in them.
    if folders and not any(folder in file.parents for file in files for folder in folders):
        sources = [source for folder in folders for source in _of_folder(folder)]
        beside = [file.name for file in files if file.suffix.lower() in (*IMAGES, *VIDEOS)]
        if sources and beside:
            raise UserError(f"input={pattern} matches folders and files, such as {beside[0]}: name one sort.")
        if sources:
            return sources
    if not files:
        what = "no file matches it" if glob.has_magic(pattern) else "there is no such file or folder"
        raise UserError(f"input={pattern}: {f'there are no frames in {folders[0]}' if folders else what}.")
    images = [path for path in files if path.suffix.lower() in IMAGES]
    if not images:
        return [VideoFile(path) for path in files]
    if len(images) < len(files):
        other = next(path for path in files if path not in images)
        raise UserError(f"input={pattern} matches images and other files, such as {other.name}: name one sort.")
    return [source for _, group in groupby(images, lambda path: path.parent) for source in _of_images(list(group))]


def open_annotations(path: Path, images: Path | None) -> VideoSet:
    """The videos of a YouTube-VIS file; `images` is the folder of their frames, None to find it beside the file."""
    video_set = read_ytvis(path, images or path.parent)
    return replace(video_set, image_folder=images or find_images(path, video_set.videos[0].file_names[0]))


def _annotated(path: Path, images: Path | None) -> list[tuple[int, VideoSource]]:
    video_set = open_annotations(path, images)
    check_images(video_set)
    check_sizes(video_set)
    return [(video.id, AnnotatedVideo(video_set, video)) for video in video_set.videos]
