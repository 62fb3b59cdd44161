"""Annotation files as large as the real ones: `python tests/annotation_files.py youtube_vis|ovis|coco FILE [SHARE]`.

They have the published numbers of videos, frames, objects and masks, and as many bytes of run lengths. SHARE is that
of the videos to write. There are no images: `empty_images` makes what `check_images` asks for.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vistr.data.category_tables import COCO


@dataclass(frozen=True)
class Release:
    """The size of a published training file; `columns` of an object set how long its codes are."""

    num_videos: int
    num_frames: int
    num_objects: int
    num_masks: int
    num_categories: int
    height: int
    width: int
    columns: int
    compressed: bool


RELEASES = {
    "youtube_vis": Release(2238, 60_038, 3774, 93_978, 40, 720, 1280, 316, compressed=False),
    "ovis": Release(607, 42_178, 5223, 336_889, 25, 1080, 1920, 655, compressed=True),
}


def write(release: Release, path: Path, share: float = 1.0, seed: int = 0) -> None:
    """Write the first `share` of a release's videos with made-up objects, video by video."""
    rng = np.random.default_rng(seed)
    videos = [_video(release, number) for number in range(max(1, round(release.num_videos * share)))]
    categories = [{"id": 1 + number, "name": f"category {number}"} for number in range(release.num_categories)]
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"info": {{}}, "categories": {json.dumps(categories)}, "videos": {json.dumps(videos)}')
        file.write(', "annotations": [')
        for number in range(max(1, round(release.num_objects * share))):
            video = videos[number % len(videos)]
            file.write(", " * (number > 0) + json.dumps(_annotation(release, number, video, rng)))
        file.write("]}")


def _video(release: Release, number: int) -> dict[str, Any]:
    first, end = (release.num_frames * k // release.num_videos for k in (number, number + 1))
    names = [f"{number:08x}/{frame:05d}.jpg" for frame in range(end - first)]
    size = {"height": release.height, "width": release.width, "length": len(names)}
    return {"id": 1 + number, **size, "file_names": names}


def _annotation(release: Release, number: int, video: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    shown = release.num_masks / release.num_objects / (release.num_frames / release.num_videos)
    codes = [_runs(release, rng) if rng.random() < shown else None for _ in range(video["length"])]
    size = [release.height, release.width]
    masks = [runs if runs is None else {"counts": runs.tolist(), "size": size} for runs in codes]
    packed = [mask and coco_mask.frPyObjects(mask, *size) for mask in masks]
    if release.compressed:
        masks = [code and {**code, "counts": code["counts"].decode()} for code in packed]
    return {
        "id": 1 + number,
        "video_id": video["id"],
        "category_id": 1 + number % release.num_categories,
        "iscrowd": 0,
        "width": release.width,
        "height": release.height,
        "segmentations": masks,
        "bboxes": [code and coco_mask.toBbox(code).tolist() for code in packed],
        "areas": [None if runs is None else int(runs[1::2].sum()) for runs in codes],
    }


def _runs(release: Release, rng: np.random.Generator) -> np.ndarray:
    """Run lengths of one blob: one run inside a column, of a height that changes slowly."""
    columns = int(release.columns * rng.uniform(0.5, 1.5))
    heights = (release.height / 3 + rng.integers(-9, 10, columns).cumsum()).clip(20, release.height - 20).astype(int)
    gaps = release.height - heights
    left = int(rng.integers(release.width - columns - 1))
    inside = np.stack([gaps, heights], 1).reshape(-1)
    inside[0] += left * release.height
    return np.append(inside, release.height * release.width - inside.sum())


def write_coco(path: Path, share: float = 1.0, seed: int = 0) -> None:
    """Write the first `share` of COCO train2017: 118,287 pictures, 860,001 annotations of 25 points a polygon.

    Every 85th is a crowd with an uncompressed RLE, every 9th has two polygons.
    """
    rng = np.random.default_rng(seed)
    num_pictures, num_annotations = (max(1, round(number * share)) for number in (118_287, 860_001))
    names = [COCO[number] for number in range(80)]
    categories = [{"supercategory": "thing", "id": 1 + number, "name": name} for number, name in enumerate(names)]
    with path.open("w", encoding="utf-8") as file:
        file.write('{"info": {"year": 2017}, "licenses": [], "images": [')
        for number in range(1, num_pictures + 1):
            name = f"{number:012d}.jpg"
            url = f"http://images.cocodataset.org/train2017/{name}"
            size = '"height": 480,"width": 640,"date_captured": "2013-11-14 16:28:13"'
            file.write(", " * (number > 1) + f'{{"license": 3,"file_name": "{name}","coco_url": "{url}",{size},')
            file.write(f'"flickr_url": "http://farm9.staticflickr.com/8186/{number}_z.jpg","id": {number}}}')
        file.write('], "categories": ' + json.dumps(categories) + ', "annotations": [')
        for number in range(1, num_annotations + 1):
            file.write(", " * (number > 1) + _coco_annotation(number, 1 + number % num_pictures, rng))
        file.write("]}")


def _coco_annotation(number: int, image: int, rng: np.random.Generator) -> str:
    left, top, width, height = rng.uniform((0, 0, 20, 20), (500, 340, 140, 140))
    box = f'"bbox": [{left:.2f},{top:.2f},{width:.2f},{height:.2f}]'
    if crowd := number % 85 == 0:
        runs = [640 * 480 - 40 * 130, *[40, 60] * 40, 640 * 480]
        runs[-1] = 640 * 480 - sum(runs[:-1])
        segmentation = json.dumps({"counts": runs, "size": [480, 640]}) if min(runs) >= 0 else "[]"
    else:
        polygons = []
        for _ in range(1 + (number % 9 == 0)):
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(10, 40))))
            radius = rng.uniform(0.6, 1, len(angles)) / 2
            x, y = left + width * (0.5 + radius * np.cos(angles)), top + height * (0.5 + radius * np.sin(angles))
            polygons.append("[" + ",".join(f"{value:.2f}" for value in np.stack([x, y], 1).reshape(-1)) + "]")
        segmentation = "[" + ",".join(polygons) + "]"
    ids = f'"image_id": {image},{box},"category_id": {1 + number % 80},"id": {number}'
    return f'{{"segmentation": {segmentation},"area": {width * height / 2:.5f},"iscrowd": {int(crowd)},{ids}}}'


def empty_images(path: Path, folder: Path) -> None:
    """Empty files of the names that an annotation file lists."""
    content = json.loads(path.read_bytes())
    for video in content.get("videos") or content["images"]:
        for name in video.get("file_names") or [video["file_name"]]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()


if __name__ == "__main__":
    place, *share = sys.argv[2:]
    if sys.argv[1] == "coco":
        write_coco(Path(place), *map(float, share))
    else:
        write(RELEASES[sys.argv[1]], Path(place), *map(float, share))
