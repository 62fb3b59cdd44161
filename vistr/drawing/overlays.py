"""Tracks drawn over frames, and sheets that put several rows of frames side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vistr.text.fonts import Text

READABLE_SIDE = 180  # frames with a shorter side are enlarged by a whole factor to reach it
LARGEST_SIDE = 1440  # but not beyond this
SMALLEST_FONT = 8  # a tag that is wider than its frame is written smaller, down to this
PALETTE = (
    (255, 84, 84),
    (66, 150, 255),
    (84, 214, 96),
    (255, 200, 20),
    (186, 108, 255),
    (20, 214, 222),
    (255, 132, 36),
    (255, 116, 196),
    (188, 214, 60),
    (196, 148, 108),
)
SHEET_COLOR, TITLE_COLOR, NOTE_COLOR = (24, 26, 31), (240, 242, 246), (150, 156, 168)

Pixels = NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]


def track_color(track_id: int) -> tuple[int, int, int]:
    """The RGB color of a track: the same for an id everywhere, 30 different ones before they repeat."""
    color = np.array(PALETTE[track_id % len(PALETTE)])
    shade = (track_id // len(PALETTE)) % 3
    if shade:
        color = color + 0.5 * ((255 if shade == 1 else 0) - color)
    red, green, blue = (int(value) for value in color)
    return red, green, blue


def tag_ink(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """The RGB color of text that can be read on a track's color."""
    bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 120
    return (12, 14, 18) if bright else (255, 255, 255)


def enlargement(height: int, width: int) -> int:
    """The whole factor by which `draw_tracks` and `contact_sheet` enlarge a frame of this size."""
    return max(1, min(-(-READABLE_SIDE // min(height, width)), LARGEST_SIDE // max(height, width)))


def draw_tracks(
    frame: Pixels,
    masks: Sequence[NDArray[Any] | None],
    *,
    labels: Sequence[str] | None = None,
    scores: Sequence[float | None] | None = None,
    track_ids: Sequence[int] | None = None,
    enlarge: bool = True,
) -> Pixels:
    """Draws tracks over one frame: a translucent mask with an outline and a tag "id name score" each.

    Args:
        frame: uint8 [H, W, 3].
        masks: one [H, W] a track, not 0 inside; None (or empty) where the track is absent.
        labels: names of the categories.
        scores: shown with two digits.
        track_ids: choose the color; 0, 1, ... where not given. Later tracks are drawn over earlier ones.
        enlarge: whether small frames grow until a tag can be read.

    Returns:
        uint8 [k H, k W, 3] with k = `enlargement(H, W)`, 1 for frames that are not small or not enlarged.

    Raises:
        ValueError: a mask that is not of the frame's size, or lists of different lengths.
    """
    height, width = frame.shape[:2]
    factor = enlargement(height, width) if enlarge else 1
    canvas = np.array(_enlarge(frame, factor), np.float32)
    ids = range(len(masks)) if track_ids is None else track_ids
    nothing = [None] * len(masks)
    tags: list[tuple[Rectangle, int, str]] = []
    for mask, name, score, track_id in zip(masks, labels or nothing, scores or nothing, ids, strict=True):
        seen = None
        if mask is not None:
            if mask.shape != (height, width):
                raise ValueError(f"a mask of size {mask.shape} on a frame of size {(height, width)}")
            seen = _paint_mask(canvas, mask, factor, track_color(track_id))
        if seen is not None:
            parts = (str(track_id), name, None if score is None else f"{score:.2f}")
            tags.append((seen, track_id, " ".join(part for part in parts if part)))

    image = Image.fromarray(np.clip(canvas + 0.5, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    _draw_tags(draw, image.size, tags)
    return np.asarray(image)


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[Pixels]]],
    *,
    max_columns: int = 6,
    frame_numbers: Sequence[int] | None = None,
) -> Pixels:
    """Puts rows of frames under one another, each below its title, the same frame of all rows in one column.

    Args:
        rows: (title, frames uint8 [H, W, 3]) from top to bottom, such as ("truth", ...), ("predicted", ...).
        max_columns: longer rows show this many of their frames, evenly spread from the first to the last.
        frame_numbers: what to call the frames above the columns; 0, 1, ... where not given.

    Returns:
        The sheet, uint8 [H', W', 3]. Small frames are enlarged as `draw_tracks` does, so that both align.

    Raises:
        ValueError: no frame at all.
    """
    length = max((len(frames) for _, frames in rows), default=0)
    if length == 0:
        raise ValueError("a contact sheet needs at least one frame")
    columns = np.unique(np.linspace(0, length - 1, min(length, max_columns)).round().astype(int)).tolist()
    tiles = [
        [_enlarge(frames[k], enlargement(*frames[k].shape[:2])) if k < len(frames) else None for k in columns]
        for _, frames in rows
    ]
    tile_width = max(tile.width for row in tiles for tile in row if tile is not None)
    tile_height = max(tile.height for row in tiles for tile in row if tile is not None)
    gap, heading, strip = 6, 24, 30
    size = (
        gap + len(columns) * (tile_width + gap),
        heading + len(rows) * (strip + tile_height) + 2 * gap,
    )
    sheet = Image.new("RGB", size, SHEET_COLOR)
    draw = ImageDraw.Draw(sheet)
    for column, k in enumerate(columns):
        number = k if frame_numbers is None else frame_numbers[k]
        x = gap + column * (tile_width + gap) + tile_width // 2
        label = Text(f"frame {number}", 13)
        label.draw(draw, x - label.width // 2, heading // 2 + 8, NOTE_COLOR)
    for row, (title, _) in enumerate(rows):
        top = heading + row * (strip + tile_height)
        Text(title, 16).draw(draw, gap + 2, top + strip // 2 + 6, TITLE_COLOR)
        for column, tile in enumerate(tiles[row]):
            if tile is not None:
                x = gap + column * (tile_width + gap) + (tile_width - tile.width) // 2
                sheet.paste(tile, (x, top + strip + (tile_height - tile.height) // 2))
    return np.asarray(sheet)


def _enlarge(pixels: NDArray[Any], factor: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if factor == 1:
        return image
    return image.resize((factor * image.width, factor * image.height), Image.Resampling.BICUBIC)


def _line_width(width: int, height: int) -> int:
    return max(2, round(min(width, height) / 250))


def _paint_mask(
    canvas: NDArray[np.float32], mask: NDArray[Any], factor: int, color: tuple[int, int, int]
) -> Rectangle | None:
    """Paints one mask over the enlarged frame; returns left, top, right, bottom or None if empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    height, width = canvas.shape[:2]
    line = _line_width(width, height)
    # Everything happens in a window around the mask: most are small against the frame.
    top, bottom = max(rows[0] - line - 2, 0), min(rows[-1] + line + 3, mask.shape[0])
    left, right = max(columns[0] - line - 2, 0), min(columns[-1] + line + 3, mask.shape[1])
    large = np.asarray(_enlarge(255 * (mask[top:bottom, left:right] != 0).astype(np.uint8), factor))
    # The enlarged mask has soft edges, so the line drawn along them is smooth.
    inside, thinner, wider = (
        each[..., None] / np.float32(255)
        for each in (large, _shrunk(large, line), np.invert(_shrunk(np.invert(large), 1)))
    )

    window = canvas[factor * top : factor * bottom, factor * left : factor * right]
    window *= 1 - 0.65 * (wider - inside)
    window += (0.45 * thinner + (inside - thinner)) * (np.array(color, np.float32) - window)
    x0, y0, x1, y1 = (factor * int(edge) for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return x0, y0, x1, y1


def _shrunk(mask: Pixels, margin: int) -> Pixels:
    """The minimum over `margin` pixels to every side, as Pillow's MinFilter gives it a hundred times more slowly."""
    for axis in (0, 1):
        turned = np.moveaxis(mask, axis, 0)
        padded = np.pad(turned, ((margin, margin), (0, 0)), mode="edge")
        least = padded[: len(turned)].copy()
        for shift in range(1, 2 * margin + 1):
            np.minimum(least, padded[shift : shift + len(turned)], out=least)
        mask = np.moveaxis(least, 0, axis)
    return mask


def _draw_tags(draw: ImageDraw.ImageDraw, size: tuple[int, int], tags: Sequence[tuple[Rectangle, int, str]]) -> None:
    """Writes each tag where there is room for it: above its track, below it, or over its upper edge."""
    font_size = min(26, max(13, round(min(size) / 26)))
    taken: list[Rectangle] = []
    for (left, top, right, bottom), track_id, text in tags:
        line = Text(text, font_size)
        if line.width + 9 > size[0]:
            line = Text(text, max(SMALLEST_FONT, font_size * (size[0] - 9) // max(line.width, 1)))
        width, height = line.width + 9, line.height + 9
        x = min(max((left + right - width) // 2, 0), max(size[0] - width, 0))
        candidates = [
            (x, y, x + width, y + height)
            for y in (top - height - 2, bottom + 2, top + 2, bottom - height - 2)
            if 0 <= y <= size[1] - height
        ] or [(x, 0, x + width, height)]
        free = [spot for spot in candidates if not any(_meet(spot, other) for other in taken)]
        place = (free or candidates)[0]
        taken.append(place)
        color = track_color(track_id)
        draw.rounded_rectangle((place[0], place[1], place[2] - 1, place[3] - 1), 4, fill=color)
        line.draw(draw, place[0] + 5, place[3] - 5, tag_ink(color))


def _meet(first: Rectangle, second: Rectangle) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
