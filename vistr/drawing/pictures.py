"""Predicted tracks of a video below its annotated ones, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistr.data.samples import open_frame
from vistr.data.segmentation import decode
from vistr.data.videos import Video, VideoSet
from vistr.drawing.overlays import contact_sheet, draw_tracks

NUM_COLUMNS = 6
Shown = tuple[str, float | None, Sequence[Any]]  # a track's category, its score and a mask a frame


def video_sheet(
    video_set: VideoSet, video: Video, results: Sequence[Mapping[str, Any]], *, min_score: float = 0.3
) -> NDArray[np.uint8]:
    """Frames spread over a video: the truth (where there is one) above what was found with at least `min_score`.

    `results` are official results entries; only this video's are drawn. uint8 `[H, W, 3]`.
    """
    numbers = sorted({int(i) for i in np.linspace(0, len(video) - 1, min(NUM_COLUMNS, len(video)))})
    names = {c.id: c.name for c in video_set.categories}
    truth: list[Shown] = [(names[a.category_id], None, a.segmentations) for a in video.annotations if not a.iscrowd]
    found: list[Shown] = [
        (names.get(r["category_id"], "?"), float(r["score"]), r["segmentations"])
        for r in sorted(results, key=lambda r: -r["score"])
        if r["video_id"] == video.id and r["score"] >= min_score
    ]
    frames = [np.asarray(open_frame(video_set, video, number)) for number in numbers]
    rows = [("truth", truth)] if truth else []
    rows.append((f"found (score {min_score:g} and more)", found))
    sheets = [
        (title, [_draw(frame, tracks, number) for frame, number in zip(frames, numbers, strict=True)])
        for title, tracks in rows
    ]
    return contact_sheet(sheets, max_columns=NUM_COLUMNS, frame_numbers=numbers)


def _draw(frame: NDArray[np.uint8], tracks: Sequence[Shown], number: int) -> NDArray[np.uint8]:
    # The best track is drawn last, over the others.
    order = list(reversed(range(len(tracks))))
    masks = [tracks[i][2][number] for i in order]
    return draw_tracks(
        frame,
        [None if not rle else decode(rle) for rle in masks],
        labels=[tracks[i][0] for i in order],
        scores=[tracks[i][1] for i in order],
        track_ids=order,
    )
