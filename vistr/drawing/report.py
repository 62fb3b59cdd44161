"""One self-contained HTML page that plays a video with its tracks: no network, nothing to install."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain, groupby
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vistr.data.segmentation import RLE, area, decode, encode
from vistr.drawing.frame_store import FrameStore
from vistr.drawing.overlays import tag_ink, track_color
from vistr.errors import UserError
from vistr.files import replacing

JPEG_QUALITY = 75
SCRIPTS = ("masks.js", "frames.js", "stage.js", "player.js")
Size = tuple[int, int]


@dataclass(frozen=True)
class ReportTrack:
    """One object through a video, from frame `first_frame` on: a mask (None: absent) a frame.

    id chooses the color, the one `draw_tracks` gives it. score is None where there is none, as in a truth.
    Tracks with `truth` stand in a second picture beside the others; there an id they share with one of the others
    says that both are the same object. note is a short remark shown in the list.
    """

    id: int
    category: str
    score: float | None
    first_frame: int
    segmentations: Sequence[RLE | None]
    truth: bool = False
    note: str = ""


def write_report(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    tracks: Sequence[ReportTrack],
    *,
    title: str,
    frames_per_second: float,
    description: str = "",
    back: str | None = None,
    threshold: float = 0.0,
    max_side: int = 720,
    max_megabytes: float = 40.0,
) -> None:
    """Write the page of one video; frames are read once, one at a time, and never held together.

    Frames become JPEG pictures of at most max_side pixels. Where the page would exceed max_megabytes, only every
    second, fourth ... frame is in it; the page says so.

    Args:
        path: the file to write; it appears when it is complete.
        frames: uint8 [H, W, 3], all of one size, the masks' own.
        tracks: with masks for frames of the video; those beyond its end are left out.
        title: the video's name.
        frames_per_second: of the frames given.
        description: a sentence below the title.
        back: an address, relative to the page, of an overview to link to.
        threshold: where the slider of scores starts; 0 shows every track.
        max_side: pixels.
        max_megabytes: of the frames with their masks; one frame is always there.

    Raises:
        UserError: the file cannot be written.
        ValueError: no frame, frames of different sizes, or a mask of another size than the frames.
    """
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        store = FrameStore(path.parent, round(max_megabytes * 1e6))
    with store:
        num_frames, size, shown_size = _keep_frames(store, path, frames, tracks, max_side)
        facts = {
            "title": title,
            "description": description,
            "back": back,
            "threshold": threshold,
            "framesPerSecond": frames_per_second,
            "numFrames": num_frames,
            "stride": store.stride,
            "videoSize": size,
            "size": shown_size,
            "tracks": [_listed(track, num_frames) for track in tracks],
        }
        before, after = page("report.html", title, facts, SCRIPTS).split("<!--FRAMES-->")
        write_page(path, chain([before.encode()], store.records(), [after.encode()]))


def write_page(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file part by part, whole or not at all; UserError where it cannot be written."""
    with _writing(path), replacing(path) as draft, draft.open("wb") as file:
        file.writelines(parts)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def page(template: str, title: str, facts: dict[str, Any], scripts: Sequence[str]) -> str:
    """A template of the folder `page` with its style and scripts in it, and the facts they show."""
    folder = files("vistr.drawing") / "page"

    def text(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    parts = {
        "<!--HEAD-->": text("head.html").rstrip("\n"),
        "<!--TITLE-->": html.escape(title),
        "<!--STYLE-->": f"<style>\n{text('style.css')}</style>",
        "<!--FACTS-->": f'<script type="application/json" id="facts">{_json(facts)}</script>',
        "<!--SCRIPTS-->": "".join(f"<script>\n{text(name)}</script>" for name in ("theme.js", *scripts)),
    }
    content = text(template)
    for mark, part in parts.items():
        content = content.replace(mark, part)
    return content


def jpeg_address(picture: Image.Image, quality: int = JPEG_QUALITY) -> str:
    """A picture as the address (data URI) of its JPEG."""
    return f"data:image/jpeg;base64,{_jpeg(picture, quality)}"


def _jpeg(picture: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _json(value: Any) -> str:
    """JSON that may stand inside a <script>: a "<" in it could end that."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _keep_frames(
    store: FrameStore, path: Path, frames: Iterable[NDArray[np.uint8]], tracks: Sequence[ReportTrack], max_side: int
) -> tuple[int, Size, Size]:
    """Put the frames into the store; returns their number and size, and the size of the page's pictures."""
    size: Size | None = None
    shown_size, num_frames = (0, 0), 0
    for number, frame in enumerate(frames):
        height, width = frame.shape[:2]
        if size is None:
            size, shrink = (height, width), min(1.0, max_side / max(height, width))
            shown_size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        elif size != (height, width):
            raise ValueError(f"frame {number} is {width}x{height}, those before are {size[1]}x{size[0]}")
        if store.wants(number):
            record = _record(number, frame, tracks, shown_size)
            with _writing(path):
                store.add(record)
        num_frames = number + 1
    if size is None:
        raise ValueError("a report needs at least one frame")
    return num_frames, size, shown_size


def _record(number: int, frame: NDArray[np.uint8], tracks: Sequence[ReportTrack], shown_size: Size) -> bytes:
    """One frame as the page reads it: its masks [index of the track, RLE counts] and picture."""
    picture = Image.fromarray(frame)
    if shown_size != frame.shape[:2]:
        picture = picture.resize((shown_size[1], shown_size[0]), Image.Resampling.BILINEAR, reducing_gap=1.3)
    masks = []
    for index, track in enumerate(tracks):
        place = number - track.first_frame
        rle = track.segmentations[place] if 0 <= place < len(track.segmentations) else None
        if not _is_seen(rle):
            continue
        if tuple(rle["size"]) != frame.shape[:2]:
            raise ValueError(f"a mask of size {rle['size']} on frame {number} of size {list(frame.shape[:2])}")
        masks.append([index, _shrunk(rle, shown_size)["counts"].decode("ascii")])
    content = {"frame": number, "masks": masks, "picture": _jpeg(picture, JPEG_QUALITY)}
    return f'<script type="application/json" class="frame">{_json(content)}</script>\n'.encode()


def _shrunk(rle: RLE, size: Size) -> RLE:
    """The mask at a smaller size: each pixel is the one at the same place, whatever the two sizes are."""
    height, width = rle["size"]
    if (height, width) == size:
        return rle
    rows, columns = ((np.arange(new) + 0.5) * old // new for new, old in zip(size, (height, width), strict=True))
    # Decoded masks lie in memory column by column: taking whole columns first is several times faster.
    return encode(decode(rle).T[columns.astype(int)][:, rows.astype(int)].T)


def _listed(track: ReportTrack, num_frames: int) -> dict[str, Any]:
    color = track_color(track.id)
    return {
        "id": track.id,
        "category": track.category,
        # JSON has no infinity.
        "score": None if track.score is None else round(float(np.clip(track.score, -1e6, 1e6)), 4),
        "color": _hex(color),
        "ink": _hex(tag_ink(color)),
        "spans": spans(track.segmentations, track.first_frame, num_frames),
        "truth": track.truth,
        "note": track.note,
    }


def spans(segmentations: Sequence[RLE | None], first_frame: int, num_frames: int) -> list[tuple[int, int]]:
    """The runs of frames that show something of the object: (first frame, number of frames) each."""
    there = [first_frame + k for k, rle in enumerate(segmentations) if _is_seen(rle) and first_frame + k < num_frames]
    runs = [list(run) for _, run in groupby(enumerate(there), lambda pair: pair[1] - pair[0])]
    return [(run[0][1], len(run)) for run in runs]


def _is_seen(rle: RLE | None) -> TypeGuard[RLE]:
    return rle is not None and area(rle) > 0


def _hex(color: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in color)
