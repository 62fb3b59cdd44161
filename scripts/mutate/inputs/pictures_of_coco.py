"""COCO instance annotations, and tables of categories for them."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from scripts.mutate.changes import change_bytes, change_json_file
from scripts.mutate.inputs.annotations import HEIGHT, WIDTH, truth_and_results, write_frames
from scripts.mutate.readers import Case, Maker

TABLE = b"categories: [Person, Feline, Dog]\nnames:\n  cat: Feline\n  person: Person\n"


def sound_instances() -> dict[str, Any]:
    """Two pictures with objects in all kinds of segmentation, and a crowd."""
    truth, _ = truth_and_results()
    kinds = [one for track in truth["annotations"][:2] for one in track["segmentations"] if one]
    images = [
        {"id": 10 + n, "file_name": f"v1/{n}.jpg", "height": HEIGHT, "width": WIDTH, "coco_url": "http://a/b"}
        for n in (0, 1)
    ]
    annotations = [
        {
            "id": number,
            "image_id": 10 + number % 2,
            "category_id": 1 + number // 3,
            "iscrowd": int(number == 2),
            "area": 54.25,
            "bbox": [6, 4, 9, 6],
            "segmentation": segmentation,
        }
        for number, segmentation in enumerate(kinds)
    ]
    return {"info": {}, "images": images, "categories": truth["categories"], "annotations": annotations}


def instances(folder: Path) -> Maker:
    """A COCO file, then the clips made of its pictures."""
    pictures, sound = write_frames(folder / "images"), sound_instances()
    path = folder / "input" / "instances.json"

    def make(rng: Random) -> Case:
        change, data = change_json_file(sound, rng)
        return Case(change, {path.name: data}, lambda: _read(path, pictures, None))

    return make


def table(folder: Path) -> Maker:
    """A table of categories, for a sound COCO file."""
    pictures = write_frames(folder / "images")
    path = folder / "input" / "table.yaml"
    (folder / "instances.json").write_text(json.dumps(sound_instances()))

    def make(rng: Random) -> Case:
        change, data = change_bytes(TABLE, rng)
        return Case(change, {path.name: data}, lambda: _read(folder / "instances.json", pictures, path))

    return make


def _read(path: Path, pictures: Path, own_table: Path | None) -> str:
    """What is wrong with the clips of the pictures that were accepted."""
    from vistr.data.category_tables import read_table
    from vistr.data.coco import read_coco
    from vistr.data.picture_clips import PictureClips
    from vistr.data.settings import Augmentation, Motion
    from vistr.data.videos import check_images

    found = read_coco(path, pictures, None if own_table is None else read_table(str(own_table)))
    check_images(found)
    augmentation = Augmentation(crop_resize_short=[16], crop_min=10, crop_max=16)
    size: dict[str, Any] = {"short_side": 16, "long_side": 32, "size_divisor": 8}
    clips = PictureClips(found, num_frames=2, augmentation=augmentation, motion=Motion(occlusion=0.5), **size)
    for number in range(len(clips)):
        frames, targets = clips.load(number, 0, np.random.default_rng(number))
        seen = [targets.boxes] if targets.ignored is None else [targets.boxes, targets.ignored]
        if any(not np.isfinite(one).all() or (one.size and (one.min() < 0 or one.max() > 1 + 1e-6)) for one in seen):
            return f"boxes {targets.boxes.tolist()}, ignored {targets.ignored}"
        if targets.masks.shape[2:] != frames.shape[1:3] or not (targets.masks.any(axis=(2, 3)) == targets.valid).all():
            return f"masks {targets.masks.shape} of {frames.shape}, valid {targets.valid.tolist()}"
        if targets.labels.size and not 1 <= targets.labels.min() <= targets.labels.max() <= len(found.categories):
            return f"labels {targets.labels.tolist()}"
    return ""


READERS = {"instances": instances, "table": table}
