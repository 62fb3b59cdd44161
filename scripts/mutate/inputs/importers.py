"""COCO files, LabelMe files, mask pictures: what scripts/make_dataset.py imports."""

from __future__ import annotations

import io
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from scripts.mutate.changes import change_bytes, change_json, change_json_file
from scripts.mutate.inputs.annotations import HEIGHT, WIDTH, write_frames
from scripts.mutate.readers import Case, Maker


def coco(folder: Path) -> Maker:
    """A COCO file with tracks."""
    frames, path = write_frames(folder / "images"), folder / "input" / "coco.json"
    size = {"width": WIDTH, "height": HEIGHT}
    sound: dict[str, Any] = {"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}
    sound["images"] = [
        {"id": 10 * video + frame, "file_name": f"v{video}/{frame}.jpg", **size, "frame_id": frame, "video_id": video}
        for video in (1, 2)
        for frame in range(3)
    ]
    outline = [[2.0, 2.0, 12.0, 2.0, 12.0, 12.0]]
    sound["annotations"] = [
        {
            "id": i,
            "image_id": 10 * (1 + i % 2) + i % 3,
            "category_id": 1 + i % 2,
            "track_id": i,
            "segmentation": outline,
        }
        for i in range(6)
    ]

    def read() -> str:
        from vistr.data.importing.coco import read_coco
        from vistr.data.importing.writing import write_custom

        write_custom(folder / "made.json", frames, read_coco(path, frames))
        return _made(folder)

    def make(rng: Random) -> Case:
        change, data = change_json_file(sound, rng)
        return Case(change, {path.name: data}, read)

    return make


def labelme(folder: Path) -> Maker:
    """A folder of LabelMe's files."""
    frames = write_frames(folder / "input")
    pictures = {f"{file.parent.name}/{file.name}": file.read_bytes() for file in frames.glob("*/*.jpg")}
    shapes = [
        {"label": "cat", "points": [[1, 1], [10, 1], [10, 9]], "shape_type": "polygon", "group_id": None},
        {"label": "dog", "points": [[1, 1], [10, 9]], "shape_type": "rectangle", "group_id": 1},
        {"label": "dog", "points": [[11, 10], [14, 10]], "shape_type": "circle", "group_id": 2},
    ]
    sound = {"version": "5", "shapes": shapes, "imageHeight": HEIGHT, "imageWidth": WIDTH}

    def read() -> str:
        from vistr.data.importing.labelme import read_labelme
        from vistr.data.importing.writing import write_custom

        write_custom(folder / "made.json", frames, read_labelme(frames))
        return _made(folder)

    def make(rng: Random) -> Case:
        change, data = change_json_file(sound, rng)
        return Case(change, {**pictures, "v1/0.json": data}, read)

    return make


def masks(folder: Path) -> Maker:
    """Mask pictures with numbered objects, and the file of their classes (--classes)."""
    from PIL import Image

    from scripts.make_dataset import main

    frames = write_frames(folder / "images")
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[3:9, 4:20], pixels[12:15, 2:9] = 1, 2
    Image.fromarray(pixels).save(out := io.BytesIO(), "PNG")
    sound = out.getvalue()
    classes = {video: {"1": "cat", "2": "dog"} for video in ("v1", "v2")}

    def read() -> str:
        import contextlib

        from vistr.errors import UserError

        root, said = folder / "input", io.StringIO()
        command = ["masks", str(root / "masks"), str(frames), str(folder / "made.json")]
        with contextlib.redirect_stderr(said):
            status = main([*command, "--classes", str(root / "classes.json")])
        if status:
            raise UserError(said.getvalue().removesuffix("\n"))
        return _made(folder)

    def make(rng: Random) -> Case:
        files = {"masks/v1/0.png": sound, "masks/v2/0.png": sound, "classes.json": json.dumps(classes).encode()}
        if rng.random() < 0.6:
            change, files["masks/v1/0.png"] = change_bytes(sound, rng, head=60)
        elif rng.random() < 0.2:
            change, files["classes.json"] = change_bytes(files["classes.json"], rng)
        else:
            change, changed = change_json(classes, rng)
            files["classes.json"] = json.dumps(changed).encode("utf-8", "surrogatepass")
        return Case(change, files, read)

    return make


def _made(folder: Path) -> str:
    """What is wrong with the annotation file that was made: it must be one that can be read."""
    from vistr.data.videos import check_images
    from vistr.data.ytvis import read_ytvis
    from vistr.errors import UserError

    frames = folder / "images" if (folder / "images").is_dir() else folder / "input"
    try:
        check_images(read_ytvis(folder / "made.json", frames))
    except UserError as error:
        return f"what was made of it cannot be read: {error}"
    return ""


READERS = {"coco": coco, "labelme": labelme, "masks": masks}
