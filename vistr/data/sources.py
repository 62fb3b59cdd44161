"""What a user names as input, as videos to read: a file, a folder of frames, a glob, an annotation file."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vistr.data.layouts import find_images
from vistr.data.samples import open_frame
from vistr.data.video import Pixels, VideoFile
from vistr.data.videos import Video, VideoSet, check_images
from vistr.data.ytvis import read_ytvis
from vistr.errors import UserError

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


class VideoSource(Protocol):
    """Frames uint8 `[H, W, 3]` RGB that can be gone through more than once, one at a time.

    size: (height, width); frames_per_second, num_frames: None where unknown; lost: after an iteration, a
    sentence about what could not be read of it, or None.
    """

    name: str
    size: tuple[int, int]
    frames_per_second: float | None
    num_frames: int | None
    lost: str | None

    def __iter__(self) -> Iterator[Pixels]: ...


class ImageSequence:
    """Images as a video, in the order given. UserError for one that is damaged or of another size than the first."""

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        self.name, self._paths = name, paths
        self.frames_per_second: float | None = None
        self.num_frames: int | None = len(paths)
        self.lost: str | None = None
        first = _read_image(paths[0])
        self.size: tuple[int, int] = (first.shape[0], first.shape[1])

    def __iter__(self) -> Iterator[Pixels]:
        height, width = self.size
        for path in self._paths:
            pixels = _read_image(path)
            if pixels.shape[:2] != self.size:
                raise UserError(
                    f"{path} is {pixels.shape[1]}x{pixels.shape[0]}, but {self._paths[0].name} is {width}x{height}: "
                    "all frames of a video need one size."
                )
            yield pixels


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

    `images` is the folder of the annotation file's frames where it is not beside the file. Every source has
    been looked into: the UserError for what is no video comes from here.
    """
    path = Path(given)
    if path.suffix.lower() == ".json" and path.is_file():
        return _annotated(path, images)
    if images is not None:
        raise UserError(f"dataset.images={images} belongs to an annotation file, and input={given} is none.")
    sources: list[VideoSource]
    if path.is_dir():
        sources = [ImageSequence(path.name, _images_in(path))]
    elif path.is_file():
        sources = [_of_file(path)]
    else:
        sources = _of_pattern(given)
    return list(enumerate(sources, 1))


def _of_file(path: Path) -> VideoSource:
    return ImageSequence(path.stem, [path]) if path.suffix.lower() in IMAGES else VideoFile(path)


def _of_pattern(pattern: str) -> list[VideoSource]:
    paths = sorted((Path(found) for found in glob.glob(pattern, recursive=True)), key=natural)
    files = [path for path in paths if path.is_file()]
    if not files:
        what = "no file matches it" if glob.has_magic(pattern) else "there is no such file or folder"
        raise UserError(f"input={pattern}: {what}.")
    images = [path for path in files if path.suffix.lower() in IMAGES]
    if not images:
        return [VideoFile(path) for path in files]
    if len(images) < len(files):
        other = next(path for path in files if path not in images)
        raise UserError(f"input={pattern} matches images and other files, such as {other.name}: name one sort.")
    return [ImageSequence(images[0].parent.name or "frames", images)]


def _images_in(folder: Path) -> list[Path]:
    paths = sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGES), key=natural)
    if not paths:
        raise UserError(f"{folder} holds no frames: there is no image in it ({', '.join(IMAGES)}).")
    return paths


def natural(path: Path) -> list[tuple[int, int, str]]:
    """A sort key under which frame 2 comes before frame 10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts]


def _read_image(path: Path) -> Pixels:
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:
        raise UserError(f"{path} is not an image, or one that Pillow cannot read.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"The image {path} is damaged or cut short ({error}).") from None


def open_annotations(path: Path, images: Path | None) -> VideoSet:
    """The videos of a YouTube-VIS file; `images` is the folder of their frames, None to find it beside the file."""
    video_set = read_ytvis(path, images or path.parent)
    return replace(video_set, image_folder=images or find_images(path, video_set.videos[0].file_names[0]))


def _annotated(path: Path, images: Path | None) -> list[tuple[int, VideoSource]]:
    video_set = open_annotations(path, images)
    check_images(video_set)
    return [(video.id, AnnotatedVideo(video_set, video)) for video in video_set.videos]
