"""Annotation files, results files, run-length codes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from scripts.mutate.changes import change_bytes, change_json, change_json_file, change_text
from scripts.mutate.readers import Case, Maker

HEIGHT, WIDTH, LENGTH = 20, 30, 3


def write_frames(folder: Path) -> Path:
    """The frames of two videos of three frames."""
    from PIL import Image

    for video in (1, 2):
        (folder / f"v{video}").mkdir(parents=True, exist_ok=True)
        for frame in range(LENGTH):
            Image.new("RGB", (WIDTH, HEIGHT), (video * 40, frame * 40, 7)).save(folder / f"v{video}/{frame}.jpg")
    return folder


def truth_and_results() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A truth of two videos with two objects each, in all kinds of segmentation, and results for it."""
    from vistr.data.segmentation import encode, to_json

    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[4:10, 6:15] = 1
    compressed = to_json(encode(mask))
    flat = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.reshape(-1), [0]])))
    runs = np.diff(np.concatenate([[0], flat, [mask.size]])).astype(int).tolist()
    plain, polygon = {"size": [HEIGHT, WIDTH], "counts": runs}, [[2.0, 2.0, 10.5, 2.0, 10.0, 9.0]]
    truth: dict[str, Any] = {"info": {}, "videos": [], "annotations": []}
    truth["categories"] = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    results = []
    for video in (1, 2):
        names = [f"v{video}/{frame}.jpg" for frame in range(LENGTH)]
        size = {"height": HEIGHT, "width": WIDTH, "length": LENGTH}
        truth["videos"].append({"id": video, **size, "file_names": names})
        for number in (0, 1):
            segments = [compressed, plain, polygon] if number else [compressed, None, compressed]
            boxes = [[6, 4, 9, 6] if one else None for one in segments]
            areas = [54 if one else None for one in segments]
            own = {"id": 10 * video + number, "video_id": video, "category_id": 1 + number, "iscrowd": 0, **size}
            truth["annotations"].append({**own, "segmentations": segments, "bboxes": boxes, "areas": areas})
            found = {"video_id": video, "category_id": 1 + number, "score": 0.5 + 0.1 * number}
            results.append({**found, "segmentations": [compressed, None, compressed]})
    return truth, results


def annotation(folder: Path) -> Maker:
    """An annotation file, then the clips cut from its videos."""
    images, (sound, _) = write_frames(folder / "images"), truth_and_results()
    path = folder / "input" / "a.json"

    def read() -> str:
        from vistr.data.samples import load_frames, load_targets
        from vistr.data.videos import check_images
        from vistr.data.ytvis import read_ytvis

        found = read_ytvis(path, images)
        check_images(found)
        for video in found.videos:
            frames = list(range(min(len(video), 4)))
            load_frames(found, video, frames, (), 32)
            boxes = load_targets(found, video, frames, (), 32).boxes
            if not np.isfinite(boxes).all() or (boxes.size and (boxes.min() < -1e-6 or boxes.max() > 1 + 1e-6)):
                return f"boxes {boxes.tolist()}"
            if any(Path(name).is_absolute() or ".." in Path(name).parts for name in video.file_names):
                return f"files {video.file_names}"
            for area in (area for one in video.annotations for area in one.areas if area is not None):
                if isinstance(area, bool) or not math.isfinite(area) or area < 0:
                    return f"an area of {area}"
        return ""

    def make(rng: Random) -> Case:
        change, data = change_json_file(sound, rng)
        return Case(change, {path.name: data}, read)

    return make


def results(folder: Path) -> Maker:
    """A truth and results, read and scored."""
    sound = dict(zip(("truth", "results"), truth_and_results(), strict=True))
    paths = {name: folder / "input" / f"{name}.json" for name in sound}

    def read() -> str:
        from vistr.evaluation.official import evaluate_contents
        from vistr.evaluation.reading import read

        contents = read(paths["truth"], paths["results"])
        evaluation = evaluate_contents(contents)
        evaluation.table().encode()
        json.dumps(evaluation.to_json())
        if not all(-1 <= value <= 1 for value in evaluation.figures.values()):
            return f"figures {evaluation.figures}"
        scores = [track.score for tracks in contents.results.values() for track in tracks]
        if not all(math.isfinite(score) for score in scores):
            return f"scores {scores}"
        if not all(0 <= score <= 1 for score in scores) and not evaluation.warnings:
            return f"scores {scores} without a word"
        return ""

    def make(rng: Random) -> Case:
        name = rng.choice(["truth", "results", "results"])
        change, data = change_json_file(sound[name], rng)
        files = {f"{one}.json": json.dumps(content).encode() for one, content in sound.items()} | {f"{name}.json": data}
        return Case(f"{name}: {change}", files, read)

    return make


def codes(folder: Path) -> Maker:
    """One segmentation of a 20x30 picture."""
    truth, _ = truth_and_results()
    sound = [one for track in truth["annotations"] for one in track["segmentations"] if one]
    path = folder / "input" / "segment.json"

    def read() -> str:
        from vistr.data.segmentation import area, decode, to_rle
        from vistr.errors import UserError

        try:
            rle = to_rle(json.loads(path.read_bytes()), HEIGHT, WIDTH)
        except ValueError as error:  # the readers put the entry's name before it
            raise UserError(str(error)) from error
        if rle is None:
            return ""
        mask = decode(rle)
        sound = mask.shape == (HEIGHT, WIDTH) and mask.max() <= 1 and int(mask.sum()) == area(rle)
        return "" if sound else f"a mask {mask.shape} of {mask.sum()} pixels, area {area(rle)}"

    def make(rng: Random) -> Case:
        segment = rng.choice(sound)
        if isinstance(segment, dict) and isinstance(segment["counts"], str) and rng.random() < 0.5:
            drawn = "".join(chr(rng.randrange(48, 112)) for _ in range(rng.randrange(1, 12)))
            changed = {**segment, "counts": rng.choice([drawn, change_text(segment["counts"], rng)])}
            change = "counts"
        else:
            change, changed = change_json(segment, rng)
        return Case(change, {path.name: json.dumps(changed).encode("utf-8", "surrogatepass")}, read)

    return make


def ids(folder: Path) -> Maker:
    """A list of the videos that are held out."""
    sound = "# held out\n1\n20  # a long one\n\n4711\n"
    path = folder / "input" / "ids.txt"

    def read() -> str:
        from vistr.data.splits import read_ids

        found = read_ids(path)
        return "" if found and all(type(one) is int and 0 <= one < 10**19 for one in found) else f"ids {found}"

    def make(rng: Random) -> Case:
        change, data = change_bytes(sound.encode(), rng) if rng.random() < 0.5 else ("text", b"")
        return Case(change, {path.name: data or change_text(sound, rng).encode()}, read)

    return make


READERS = {"annotation": annotation, "results": results, "codes": codes, "ids": ids}
