"""Mask pictures, one a frame: numbered or coloured objects, or a folder of black and white ones for each object."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vistr.data.images import read_numbers
from vistr.data.importing.entries import Entry
from vistr.data.importing.writing import ImportedVideo, folders_of, frames_of, open_video
from vistr.data.picture_files import entries_of, images_in
from vistr.data.segmentation import encode
from vistr.errors import UserError

logger = logging.getLogger(__name__)

_COLOUR = 1 << 24  # added to a colour's 0xRRGGBB, which then is no number of an object
_SMOOTH_VALUES = 6
_AT_EDGES = 0.9  # share of a value's pixels
_SMOOTH_STEP = 100  # what a smoothed edge leads over, in shades of 255


def read_masks(mask_folder: Path, image_folder: Path, classes: Any = None) -> list[ImportedVideo]:
    """The videos of `mask_folder/<video>`, whose frames are `image_folder/<video>`.

    There lie `<frame>.png`, whose pixels are the number of their object or its colour (0 and black: none), or folders
    `<class>_<anything>` with one picture a frame each, not black where that object is. White (255) is "not to be
    judged" beside other objects, as in DAVIS, unless `classes` names it; a video of nothing but black and white has
    one object, the white. `classes` names the class of an object, {"video": {"1": "car", "#ff0000": "bus"}}; without
    it all are of the class "object". A frame without a picture shows nothing. UserError names the file at fault: JPEGs
    and smoothed masks too, whose pixels between the objects would be objects of their own.
    """
    named = None if classes is None else Entry(classes, "the file of classes").values
    videos = []
    for folder in folders_of(mask_folder, "the mask pictures"):
        frames = image_folder / folder.name
        files = frames_of(frames, f"{folder} has masks of them")
        video = open_video(image_folder, files)
        numbers = {file.stem: number for number, file in enumerate(files)}
        if objects := [path for path in entries_of(folder) if path.is_dir() and images_in(path)]:
            for one in objects:
                category = re.sub(r"[_-][^_-]*$", "", one.name) or one.name
                for frame, _, values in _masks(one, numbers, frames, video):
                    _add(video, one.name, category, frame, values > 0)
        else:
            of_video = None if named is None else Entry(named.get(folder.name, {}), f"the classes of {folder.name}")
            _add_numbered(video, list(_masks(folder, numbers, frames, video)), of_video)
        videos.append(video)
    return videos


def _add_numbered(video: ImportedVideo, masks: list[tuple[int, Path, NDArray]], classes: Entry | None) -> None:
    given = {} if classes is None else {name.lower(): name for name in classes.values}
    white = {value for value in (255, 65535) if str(value) not in given}
    found = {int(value) for _, _, values in masks for value in np.unique(values)} - {0}
    ignored = white if found - white else set()
    if ignored & found:
        logger.warning(
            "%s: white is left out as not to be judged, beside other objects; if it is an object, name its class by"
            " --classes.",
            masks[0][1].parent,
        )
    for frame, file, values in masks:
        for value in np.unique(values).tolist():
            if value == 0 or value in ignored:
                continue
            name = str(value) if value < _COLOUR else f"#{value - _COLOUR:06x}"
            if classes is not None and name not in given:
                raise UserError(
                    f"{file} shows object {name}, whose class is not given for the video {file.parent.name}"
                )
            _add(video, name, "object" if classes is None else classes.text(given[name]), frame, values == value)


def _add(video: ImportedVideo, name: str, category: str, frame: int, mask: NDArray[np.bool_]) -> None:
    video.add(name, category, frame, encode(mask), name)


def _masks(
    folder: Path, numbers: Mapping[str, int], frames: Path, video: ImportedVideo
) -> Iterator[tuple[int, Path, NDArray]]:
    """(frame, file, the value of every pixel) of the mask pictures in a folder."""
    for file in images_in(folder):
        if file.stem not in numbers:
            raise UserError(f"{file} is the mask of no frame: {frames} has no picture named {file.stem}")
        pixels = read_numbers(file)
        if not np.array_equal(pixels, np.abs(np.rint(pixels))):
            raise UserError(f"{file} has values that are no numbers of objects: 0, 1, 2 ... are, not fractions or -1")
        values = _values(pixels)
        if values.shape != (video.height, video.width):
            height, width = values.shape
            raise UserError(f"{file} is {width}x{height}, its frame {video.width}x{video.height}")
        if _is_smoothed(values) or _has_smoothed_edges(pixels, values):
            raise UserError(
                f"{file} is smoothed: it has {len(np.unique(values))} values, most of them along the edges; draw and"
                " resize masks without smoothing (nearest neighbour)"
            )
        yield numbers[file.stem], file, values


def _values(pixels: NDArray) -> NDArray[np.int64]:
    """One number a pixel: of grey pixels the shade, of coloured ones the colour above all shades; transparent is 0."""
    values = pixels.astype(np.int64)
    if values.ndim == 2:
        return values
    red, green, blue = values[..., 0], values[..., 1], values[..., 2]
    grey = (red == green) & (green == blue)
    numbers: NDArray[np.int64] = np.where(grey, red, _COLOUR + (red << 16) + (green << 8) + blue)
    return np.where(values[..., 3] == 0, 0, numbers) if values.shape[2] == 4 else numbers


def _is_smoothed(values: NDArray[np.int64]) -> bool:
    """Whether most values occur along edges only: few of their pixels have a neighbour of the same value."""
    same = np.zeros(values.shape, bool)
    for axis in (0, 1):
        equal = np.diff(values, axis=axis) == 0
        same |= np.pad(equal, [(0, int(k == axis)) for k in (0, 1)])
        same |= np.pad(equal, [(int(k == axis), 0) for k in (0, 1)])
    found, places = np.unique(values, return_inverse=True)
    counts = np.bincount(places.reshape(-1))
    with_neighbour = np.bincount(places.reshape(-1), weights=same.reshape(-1))
    at_edges = int((with_neighbour < 0.5 * counts).sum())
    return at_edges >= _SMOOTH_VALUES and at_edges > len(found) / 2


def _has_smoothed_edges(pixels: NDArray, values: NDArray[np.int64]) -> bool:
    """Whether at least half of the values lie between others: nearly all of their pixels are at once beside a much
    darker and a much brighter one, and between the two."""
    between = np.zeros(values.shape, bool)
    for band in np.moveaxis(np.atleast_3d(pixels)[..., :3].astype(np.float64), -1, 0):
        low, high = ndimage.minimum_filter(band, 3), ndimage.maximum_filter(band, 3)
        between |= (low < band) & (band < high) & (high - low >= _SMOOTH_STEP)
    found, places = np.unique(values, return_inverse=True)
    share = np.bincount(places.reshape(-1), weights=between.reshape(-1)) / np.bincount(places.reshape(-1))
    objects = share[found != 0]
    return bool(len(objects)) and int((objects >= _AT_EDGES).sum()) >= len(objects) / 2
