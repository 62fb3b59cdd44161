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

from vistr.data.clips import video_clip_frames
from vistr.data.segmentation import RLE, area, encode, to_json
from vistr.data.shapes import CATEGORIES, ShapesVideo, draw_video
from vistr.evaluation.ytvis import evaluate
from vistr.inference.linking import LinkedFrame, TrackLinker
from vistr.inference.postprocess import ClipTrack
from vistr.inference.tracks import collect, video_results

HEIGHT, WIDTH = 96, 160
FULL_SCORE = 0.3  # tracks below count as ghosts, and are left out
Masks = list[list[RLE | None]]  # of every object, of every frame


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


@lru_cache
def long_video(index: int, num_frames: int) -> tuple[ShapesVideo, Masks]:
    """Generated video `index` of those whose objects never leave for good, and its masks (None: out of sight)."""
    found = -1
    for number in range(1000):
        video = draw_video(11, number, num_frames=num_frames, height=HEIGHT, width=WIDTH, max_objects=4)
        seen = video.masks.any((2, 3))
        found += bool(len(video.masks) > 1 and seen.mean() > 0.97)
        if found == index:
            return video, [
                [encode(m) if s else None for m, s in zip(*o, strict=True)] for o in zip(video.masks, seen, strict=True)
            ]
    raise ValueError(f"there are not {index + 1} such videos")


def link(
    video: ShapesVideo, length: int, overlap: int, errors: Errors, seed: int = 0, min_iou: float = 0.3
) -> tuple[list[LinkedFrame], list[int]]:
    """The linked frames of a video, and the number of clips that missed each object."""
    rng = np.random.default_rng([seed, length, overlap])
    linker = TrackLinker(min_iou=min_iou)
    frames: list[LinkedFrame] = []
    missed = [0] * len(video.masks)
    for numbers in video_clip_frames(video.masks.shape[1], length, overlap):
        tracks = list(_clip_tracks(video, numbers, errors, rng, missed))
        frames += linker.add([tracks[k] for k in rng.permutation(len(tracks))], numbers)
    return frames + linker.finish(), missed


def _clip_tracks(
    video: ShapesVideo, numbers: Sequence[int], errors: Errors, rng: np.random.Generator, missed: list[int]
) -> Iterator[ClipTrack]:
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


def identity_switches(frames: Sequence[LinkedFrame], truth: Masks) -> int:
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


def average_precision(frames: Sequence[LinkedFrame], video: ShapesVideo, truth: Masks) -> dict[str, float]:
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
        for number, (category_id, masks) in enumerate(zip(video.category_ids, truth, strict=True), 1)
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


def main(num_videos: int = 4, num_frames: int = 400) -> None:
    """Print identity switches and AP against clip length and overlap."""
    videos = [long_video(index, num_frames) for index in range(num_videos)]
    print(f"{num_videos} videos, {num_frames} frames, {sum(len(truth) for _, truth in videos)} objects")
    print(
        "| clip | overlap | exact: switches | exact: AP | erring: objects missed in clips | erring: switches | erring: AP |"
    )
    print("|---|---|---|---|---|---|---|")
    for length in (2, 4, 8, 18, 36):
        for overlap in sorted({int(length * share) for share in (0, 0.25, 0.5, 0.75)}):
            cells = [str(length), str(overlap)]
            for errors in (Errors(0, 0, 0, 0), Errors()):
                linked = [link(video, length, overlap, errors) for video, _ in videos]
                switches = sum(identity_switches(f, truth) for (f, _), (_, truth) in zip(linked, videos, strict=True))
                figures = [average_precision(f, *pair)["AP"] for (f, _), pair in zip(linked, videos, strict=True)]
                if errors.missed:
                    cells.append(str(sum(sum(missed) for _, missed in linked)))
                cells += [str(switches), f"{np.mean(figures):.3f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
