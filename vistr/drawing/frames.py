"""Drawing tracks over frames: single ones of a stream, whole videos, contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vistr.data.segmentation import RLE, decode
from vistr.drawing.overlays import Pixels, contact_sheet, draw_tracks
from vistr.inference.given_frames import rgb_image
from vistr.inference.predictor import FrameTracks

SHEET_COLUMNS, TILE_WIDTH = 6, 480


@dataclass(frozen=True)
class Shown:
    """One track as it is drawn in a frame."""

    id: int
    name: str
    score: float
    segmentation: RLE


def draw(tracks: FrameTracks) -> Pixels:
    """The frame of `Predictor.stream` with its tracks: masks, outlines and "id name score", uint8 `[H, W, 3]`.

    ValueError where the stream was asked not to keep the images.
    """
    if tracks.image is None:
        raise ValueError("there is no image to draw on: stream(frames, keep_images=True)")
    image = np.asarray(rgb_image(tracks.image, tracks.index))
    return draw_shown(image, [Shown(t.id, t.name, t.score, t.segmentation) for t in tracks])


def draw_shown(frame: Pixels, shown: Sequence[Shown], width: int | None = None) -> Pixels:
    """A frame with its tracks at its own size, or `width` pixels wide; the best track is drawn last."""
    order = sorted(shown, key=lambda one: one.score)
    masks = [decode(one.segmentation) for one in order]
    if width is not None and width < frame.shape[1]:
        size = (width, max(round(frame.shape[0] * width / frame.shape[1]), 1))
        frame = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR, reducing_gap=2))
        masks = [np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)) for mask in masks]
    return draw_tracks(
        frame,
        masks,
        labels=[one.name for one in order],
        scores=[one.score for one in order],
        track_ids=[one.id for one in order],
        enlarge=False,
    )


def sheet_frames(num_frames: int) -> list[int]:
    """The frames of a contact sheet: evenly spread from the first to the last."""
    spread = np.linspace(0, num_frames - 1, min(num_frames, SHEET_COLUMNS))
    return sorted({round(float(place)) for place in spread})


class Sheet:
    """Collects the frames of a contact sheet as they pass by: as they were filmed above, what was found below."""

    def __init__(self, num_frames: int) -> None:
        self._wanted = set(sheet_frames(num_frames))
        self._numbers: list[int] = []
        self._filmed: list[Pixels] = []
        self._found: list[Pixels] = []

    def offer(self, index: int, frame: Pixels, shown: Sequence[Shown]) -> None:
        """Take the frame if it is one of the sheet's."""
        if index in self._wanted:
            self._numbers.append(index)
            self._filmed.append(draw_shown(frame, [], TILE_WIDTH))
            self._found.append(draw_shown(frame, shown, TILE_WIDTH))

    def picture(self, title: str) -> Pixels:
        """The sheet, uint8 `[H, W, 3]`."""
        rows = [("as filmed", self._filmed), (title, self._found)]
        return contact_sheet(rows, max_columns=SHEET_COLUMNS, frame_numbers=self._numbers)
