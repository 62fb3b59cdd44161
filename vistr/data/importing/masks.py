"""Mask pictures, one a frame: numbered objects as in DAVIS, or a folder of black and white ones for each object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vistr.data.importing.writing import ImportedVideo, folders_of, open_video, pictures_of
from vistr.data.segmentation import encode
from vistr.errors import UserError

_IGNORE = 255  # DAVIS's "not to be judged"


def read_masks(
    mask_folder: Path, image_folder: Path, classes: Mapping[str, Mapping[str, str]] | None = None
) -> list[ImportedVideo]:
    """The videos of `mask_folder/<video>`, whose frames are `image_folder/<video>`.

    There lie `<frame>.png`, whose pixels are the number of their object (0: none, 255: ignored), or folders
    `<class>_<anything>` with one picture a frame each, not black where that object is. `classes` names the class of a
    numbered object, {"video": {"1": "car"}}; without it all are of the class "object". A frame without a picture
    shows nothing. UserError names the file at fault.
    """
    videos = []
    for folder in folders_of(mask_folder, "the mask pictures"):
        frames = image_folder / folder.name
        files = pictures_of(frames) if frames.is_dir() else []
        if not files:
            raise UserError(f"{folder} has masks, but {frames} has no frames")
        video = open_video(image_folder, files)
        numbers = {file.stem: number for number, file in enumerate(files)}
        objects = sorted(path for path in folder.iterdir() if path.is_dir())
        if objects:
            for one in objects:
                category = re.sub(r"[_-][^_-]*$", "", one.name) or one.name
                for file in pictures_of(one):
                    _add(video, one.name, category, _frame(file, numbers, frames), _pixels(file, video) > 0)
        else:
            of_video = (classes or {}).get(folder.name, {})
            for file in pictures_of(folder):
                _add_numbered(video, file, _frame(file, numbers, frames), of_video, given=classes is not None)
        videos.append(video)
    return videos


def _add_numbered(video: ImportedVideo, file: Path, frame: int, classes: Mapping[str, str], *, given: bool) -> None:
    pixels = _pixels(file, video)
    for number in np.unique(pixels):
        if number in (0, _IGNORE):
            continue
        category = classes.get(str(number))
        if given and category is None:
            raise UserError(f"{file} shows object {number}, whose class is not given for the video {file.parent.name}")
        _add(video, str(number), category or "object", frame, pixels == number)


def _add(video: ImportedVideo, name: str, category: str, frame: int, mask: NDArray[np.bool_]) -> None:
    video.add(name, category, frame, encode(mask), name)


def _frame(file: Path, numbers: Mapping[str, int], frames: Path) -> int:
    if file.stem not in numbers:
        raise UserError(f"{file} is the mask of no frame: {frames} has no picture named {file.stem}")
    return numbers[file.stem]


def _pixels(file: Path, video: ImportedVideo) -> NDArray[np.integer]:
    try:
        with Image.open(file) as picture:
            pixels = np.asarray(picture if picture.mode in ("P", "L", "I", "I;16", "1") else picture.convert("L"))
    except OSError as error:
        raise UserError(f"{file} is no picture: {error}") from error
    if pixels.shape != (video.height, video.width):
        height, width = pixels.shape
        raise UserError(f"{file} is {width}x{height}, its frame {video.width}x{video.height}")
    return pixels.astype(np.int64)
