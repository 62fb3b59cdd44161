"""A clip predictor that knows the truth and errs on purpose, to see what linking makes of long videos.

`python -m tests.inference.oracle` prints the table of docs/long_videos.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from vistr.data.painting import Place, paint_instance
from vistr.data.scenes import CATEGORIES
from vistr.data.segmentation import RLE, area, encode, to_json
from vistr.evaluation.official import evaluate
from vistr.inference.linking import LinkedFrame, TrackLinker
from vistr.inference.postprocess import ClipTrack
from vistr.inference.tracks import collect, video_results

HEIGHT, WIDTH = 96, 160
FULL_SCORE = 0.3  # tracks below count as ghosts, and are left out
Codes = list[list[RLE | None]]  # of every object, of every frame


@dataclass(frozen=True)
class Errors:
    """How far a clip's tracks are off, drawn anew for every clip.

    shift: pixels by which a mask is off, once for the clip and by one more pixel for each frame; missed: share
    of the objects a clip does not see at all; confused: share of those it calls by another name; ghosts: share
    of the objects it sees twice, the second time with a low score.
    """

    shift: int = 1
    missed: float = 0.03
    confused: float = 0.1
    ghosts: float = 0.3


@dataclass(frozen=True)
class LongVideo:
    """masks bool `[N, T, H, W]` of N objects, their categories, and the masks as codes (None: out of sight)."""

    masks: np.ndarray
    category_ids: tuple[int, ...]
    codes: Codes


@lru_cache
def long_video(index: int, num_frames: int) -> LongVideo:
    """Video `index` of a series: 2 to 4 shapes that cross the picture, turn at its borders and hide one another.

    Generated datasets (`vistr.data.shapes`) are drawn for short videos: their paths start to jump after some
    hundred frames.
    """
    rng = np.random.default_rng([11, index])
    count = 2 + index % 3
    masks = np.zeros((count, num_frames, HEIGHT, WIDTH), bool)
    category_ids = tuple(int(number) for number in rng.integers(1, len(CATEGORIES) + 1, count))
    canvas, color = np.zeros((HEIGHT, WIDTH, 3), np.float32), np.zeros(3, np.float32)
    for k, category_id in enumerate(category_ids):
        radius, angle, spin = rng.uniform(14, 19), rng.uniform(-0.5, 0.5), rng.uniform(-0.06, 0.06)
        room = np.array([WIDTH, HEIGHT]) - 2 * radius
        direction, start, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1, 2) * room, rng.uniform(1.5, 5)
        for frame in range(num_frames):
            path = start + frame * speed * np.array([np.cos(direction), np.sin(direction)])
            x, y = radius + room - np.abs(path % (2 * room) - room)
            place = Place(float(x), float(y), float(radius), angle + frame * spin)
            covered = paint_instance(canvas, CATEGORIES[category_id - 1], color, place)
            masks[:k, frame] &= ~covered
            masks[k, frame] = covered
    codes = [[encode(mask) if mask.any() else None for mask in one] for one in masks]
    return LongVideo(masks, category_ids, codes)


def video_clip_frames(video_length: int, num_frames: int, overlap: int) -> list[list[int]]:
    """The frames of the clips that cover a whole video in evaluation.

    A video shorter than num_frames is repeated from its start until the clip is full, as in the original. A
    longer one becomes clips that share at least `overlap` frames with the one before; the last ends on the
    last frame. ValueError unless 0 <= overlap < num_frames.
    """
    if not 0 <= overlap < num_frames:
        raise ValueError(f"overlap must be from 0 to {num_frames - 1}, not {overlap}")
    if video_length <= num_frames:
        return [[frame % video_length for frame in range(num_frames)]]
    last_start = video_length - num_frames
    starts = [*range(0, last_start, num_frames - overlap), last_start]
    return [list(range(start, start + num_frames)) for start in starts]


def link(
    video: LongVideo, length: int, overlap: int, errors: Errors, seed: int = 0, min_iou: float = 0.3
) -> tuple[list[LinkedFrame], list[int]]:
    """The linked frames of a video, and the number of clips that missed each object."""
    rng = np.random.default_rng([seed, length, overlap])
    linker = TrackLinker(min_iou=min_iou)
    frames: list[LinkedFrame] = []
    missed = [0] * len(video.masks)
    for numbers in video_clip_frames(video.masks.shape[1], length, overlap):
        tracks = list(clip_tracks(video, numbers, errors, rng, missed))
        frames += linker.add([tracks[k] for k in rng.permutation(len(tracks))], numbers)
    return frames + linker.finish(), missed


def clip_tracks(
    video: LongVideo, numbers: Sequence[int], errors: Errors, rng: np.random.Generator, missed: list[int]
) -> Iterator[ClipTrack]:
    """What one clip sees; counts in `missed` the objects that it does not."""
    for index, category_id in enumerate(video.category_ids):
        masks = video.masks[index, numbers[0] : numbers[-1] + 1]
        if not masks.any():
            continue
        if rng.random() < errors.missed:
            missed[index] += 1
            continue
        label = category_id
        if rng.random() < errors.confused:
            label = 1 + (category_id + int(rng.integers(1, len(CATEGORIES)))) % len(CATEGORIES)
        yield _clip_track(masks, label, float(rng.uniform(0.5, 0.95)), errors.shift, rng)
        if rng.random() < errors.ghosts:
            yield _clip_track(masks, category_id, float(rng.uniform(0.02, 0.2)), errors.shift, rng)


def _clip_track(masks: np.ndarray, label: int, score: float, shift: int, rng: np.random.Generator) -> ClipTrack:
    off = rng.integers(-shift, shift + 1, 2)
    rles: list[RLE | None] = []
    for mask in masks:
        here = off + (rng.integers(-1, 2, 2) if shift else 0)
        moved = np.roll(mask, tuple(int(pixels) for pixels in here), (0, 1))
        rles.append(encode(moved) if mask.any() else None)
    probabilities = np.full(len(CATEGORIES) + 1, (1 - score) / len(CATEGORIES), np.float32)
    probabilities[label] = score
    scores = np.array([score if rle else 0.0005 for rle in rles], np.float32)
    return ClipTrack(0, np.full(len(masks), label), scores, probabilities, rles)


def identity_switches(frames: Sequence[LinkedFrame], truth: Codes) -> int:
    """How often the track that covers an object (IoU of 0.5 or more, one each) is another than the last one was.

    As in CLEAR MOT, an object stays with its track for as long as that still covers it.
    """
    real = {track.id for track in collect(frames, min_score=FULL_SCORE)}
    last: dict[int, int] = {}
    switches = 0
    for frame in frames:
        found = [s for s in frame.sightings if s.track_id in real and s.segmentation and area(s.segmentation)]
        there = [(k, masks[frame.index]) for k, masks in enumerate(truth) if masks[frame.index] is not None]
        if not found or not there:
            continue
        overlap = np.asarray(
            coco_mask.iou([s.segmentation for s in found], [rle for _, rle in there], [0] * len(there))
        )
        stays = np.array([[last.get(k) == s.track_id for k, _ in there] for s in found])
        kept = overlap + (stays & (overlap >= 0.5))
        for row, column in zip(*linear_sum_assignment(kept, maximize=True), strict=True):
            if overlap[row, column] >= 0.5:
                object_number, track_id = there[column][0], found[row].track_id
                switches += last.get(object_number, track_id) != track_id
                last[object_number] = track_id
    return switches


def average_precision(frames: Sequence[LinkedFrame], video: LongVideo) -> dict[str, float]:
    """The official figures of one video's linked frames."""
    num_frames = video.masks.shape[1]
    annotations: list[dict[str, Any]] = [
        {
            "id": number,
            "video_id": 1,
            "category_id": category_id,
            "iscrowd": 0,
            "areas": [rle and area(rle) for rle in masks],
            "segmentations": [rle and to_json(rle) for rle in masks],
        }
        for number, (category_id, masks) in enumerate(zip(video.category_ids, video.codes, strict=True), 1)
    ]
    content = {
        "videos": [
            {"id": 1, "height": HEIGHT, "width": WIDTH, "file_names": [f"{frame}.jpg" for frame in range(num_frames)]}
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CATEGORIES, 1)],
        "annotations": annotations,
    }
    ids = {number: number for number in range(1, len(CATEGORIES) + 1)}
    results = video_results(collect(frames), video_id=1, num_frames=num_frames, category_ids=ids)
    return evaluate(content, results).figures


def main(num_videos: int = 6, num_frames: int = 400) -> None:
    """Print identity switches and AP against clip length and overlap."""
    videos = [long_video(index, num_frames) for index in range(num_videos)]
    print(f"{num_videos} videos, {num_frames} frames, {sum(len(video.masks) for video in videos)} objects")
    print("| clip | overlap | exact: switches | exact: AP | erring: missed | erring: switches | erring: AP |")
    print("|---|---|---|---|---|---|---|")
    for length in (2, 4, 8, 18, 36):
        for overlap in sorted({int(length * share) for share in (0, 0.25, 0.5, 0.75)}):
            cells = [str(length), str(overlap)]
            for errors in (Errors(0, 0, 0, 0), Errors()):
                linked = [(video, *link(video, length, overlap, errors)) for video in videos]
                switches = sum(identity_switches(frames, video.codes) for video, frames, _ in linked)
                figures = [average_precision(frames, video)["AP"] for video, frames, _ in linked]
                if errors.missed:
                    cells.append(str(sum(sum(missed) for _, _, missed in linked)))
                cells += [str(switches), f"{np.mean(figures):.3f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
