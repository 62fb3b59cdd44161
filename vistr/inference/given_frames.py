"""Frames passed from Python: converted to RGB images, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from vistr.errors import UserError

Frame = NDArray[np.uint8] | Image.Image
_WANTED = "frames are uint8 [H, W, 3] arrays (or [H, W] grey, [H, W, 4] with transparency) or images"


def each_frame(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames one by one; UserError where it is a single frame, or a name, that is given."""
    if isinstance(frames, str | Path):
        raise UserError(f"{frames} is a name, not frames: open_video({str(frames)!r}) gives its frames.")
    single = isinstance(frames, Image.Image) or (
        isinstance(frames, np.ndarray) and (frames.ndim < 3 or (frames.ndim == 3 and frames.shape[2] in (3, 4)))
    )
    if single:
        raise UserError("This is a single frame: give a list of frames, [frame], or an array [T, H, W, 3].")
    if isinstance(frames, np.ndarray) and frames.ndim == 3 and frames.shape[0] in (3, 4):
        raise UserError(
            f"An array {list(frames.shape)} is one frame, its channels first, or {len(frames)} grey ones: give"
            " [frame.transpose(1, 2, 0)], or a list of the frames."
        )
    return iter(frames)


def rgb_image(frame: Any, number: int) -> Image.Image:
    """A frame as an RGB image, upright where it is a file that was opened; transparency is dropped.

    UserError where it is none, or has no values from 0 to 255.
    """
    if isinstance(frame, Image.Image):
        if frame.mode.split(";")[0] in ("I", "F"):
            raise UserError(
                f"Frame {number} is an image of mode {frame.mode}, more than 8 bits: scale it to 0..255 first"
                " (open_video does so for files)."
            )
        if isinstance(frame, ImageFile.ImageFile):
            frame.load()  # which turns a TIFF
            upright: Image.Image = ImageOps.exif_transpose(frame)
            return upright.convert("RGB")
        return frame.convert("RGB")
    if not isinstance(frame, np.ndarray):
        raise UserError(f"Frame {number} is a {type(frame).__name__}: {_WANTED}.")
    kind = f"Frame {number} is a {frame.dtype} array {list(frame.shape)}"
    if frame.ndim == 3 and frame.shape[0] in (1, 3, 4) and frame.shape[2] not in (1, 3, 4):
        raise UserError(f"{kind}, its channels first: give frame.transpose(1, 2, 0).")
    if frame.dtype != np.uint8:
        factor = "255 * frame if its values go from 0 to 1" if frame.dtype.kind == "f" else "frame // 256 of 16 bits"
        raise UserError(f"{kind}: {_WANTED}; convert it with .astype('uint8') ({factor}).")
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[..., 0]
    if frame.size == 0 or frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (3, 4)):
        raise UserError(f"{kind}: {_WANTED}.")
    return Image.fromarray(np.ascontiguousarray(frame)).convert("RGB")
