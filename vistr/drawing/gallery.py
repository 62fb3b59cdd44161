"""The page in front of several reports: the figures of all videos, and a card for each that has a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from numpy.typing import NDArray
from PIL import Image

from vistr.data.segmentation import decode
from vistr.drawing.overlays import draw_tracks
from vistr.drawing.report import ReportTrack, jpeg_address, page, write_page

THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT = 320, 480


@dataclass(frozen=True)
class Card:
    """One video: its score (None where nothing is annotated), and objects found of those annotated.

    page is the address of its report relative to the gallery; None for a video that has none, which is counted
    but not shown. pictures are the addresses of what was predicted and, where there is a truth, of that.
    """

    name: str
    score: float | None
    num_found: int
    num_objects: int
    num_predictions: int
    page: str | None = None
    pictures: Sequence[str] = ()


def write_gallery(
    path: Path,
    cards: Sequence[Card],
    *,
    title: str,
    description: str,
    figures: Mapping[str, float],
    notes: Sequence[str] = (),
) -> None:
    """Write the page; figures are named numbers for its head, notes are sentences for its foot.

    UserError where the file cannot be written.
    """
    facts = {
        "description": description,
        "figures": dict(figures),
        "cards": [asdict(card) for card in cards],
        "notes": list(notes),
    }
    write_page(path, [page("gallery.html", title, facts, ("gallery.js",)).encode()])


def thumbnails(frame: NDArray, tracks: Sequence[ReportTrack], number: int) -> list[str]:
    """Small pictures of frame `number`: its predictions and, where some track is `truth`, the truth."""
    sides = [False, True] if any(track.truth for track in tracks) else [False]
    return [_thumbnail(frame, [track for track in tracks if track.truth is side], number) for side in sides]


def telling_frame(tracks: Sequence[ReportTrack], num_frames: int) -> int:
    """The frame that shows most of the annotated objects (where there are none: of those found), near the middle."""
    shown = [track for track in tracks if track.truth] or tracks

    def worth(number: int) -> tuple[int, float]:
        seen = sum(
            0 <= number - track.first_frame < len(track.segmentations)
            and track.segmentations[number - track.first_frame] is not None
            for track in shown
        )
        return seen, -abs(number - (num_frames - 1) / 2)

    return max(range(num_frames), key=worth)


def _thumbnail(frame: NDArray, tracks: Sequence[ReportTrack], number: int) -> str:
    # The best track is drawn last, over the others.
    tracks = sorted(tracks, key=lambda track: track.score or 0)
    masks = []
    for track in tracks:
        place = number - track.first_frame
        rle = track.segmentations[place] if 0 <= place < len(track.segmentations) else None
        masks.append(None if rle is None else decode(rle))
    drawn = Image.fromarray(draw_tracks(frame, masks, track_ids=[track.id for track in tracks]))
    scale = min(THUMBNAIL_WIDTH / drawn.width, THUMBNAIL_HEIGHT / drawn.height)
    size = (max(round(drawn.width * scale), 1), max(round(drawn.height * scale), 1))
    return jpeg_address(drawn.resize(size, Image.Resampling.LANCZOS))
