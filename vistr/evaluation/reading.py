"""Truth and results as the YouTube-VIS evaluation sees them: read, checked, grouped by video and category."""

from __future__ import annotations

import json
import math
import numbers
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vistr.data.segmentation import RLE, area, rle_size, to_rle
from vistr.errors import UserError

Key = tuple[int, int]


@dataclass(frozen=True)
class TruthTrack:
    """One annotated object; `area` is the mean of its annotation's areas over the frames that show it."""

    id: int
    segmentations: list[RLE | None]
    area: float
    iscrowd: bool


@dataclass(frozen=True)
class ResultTrack:
    """One predicted object; `index` is its place in the results, `area` its mean mask area where visible."""

    index: int
    segmentations: list[RLE | None]
    area: float
    score: float


class Suspicions:
    """What scores without an error but looks like a mistake: one line a kind, with its first example."""

    def __init__(self) -> None:
        self._examples: dict[str, str] = {}
        self._counts: dict[str, int] = defaultdict(int)

    def add(self, kind: str, example: str) -> None:
        self._examples.setdefault(kind, example)
        self._counts[kind] += 1

    def lines(self) -> list[str]:
        more = {kind: f" (and {count - 1} more)" if count > 1 else "" for kind, count in self._counts.items()}
        return [f"{kind}: {example}{more[kind]}" for kind, example in self._examples.items()]


@dataclass
class Contents:
    """Everything the evaluation looks at; tracks are grouped by (video id, category id), in file order."""

    categories: dict[int, str]
    videos: dict[int, Mapping[str, Any]]
    truth: dict[Key, list[TruthTrack]] = field(default_factory=dict)
    results: dict[Key, list[ResultTrack]] = field(default_factory=dict)
    suspicions: Suspicions = field(default_factory=Suspicions)


def read(truth: Mapping[str, Any] | str | Path, results: list[Any] | str | Path) -> Contents:
    """Read both sides; UserError names the file and entry where the official evaluation would crash."""
    truth_name, truth_content = _load(truth, "the truth")
    results_name, results_content = _load(results, "the results")
    if not isinstance(truth_content, Mapping):
        raise UserError(f"{truth_name} is no YouTube-VIS annotation file: it should be an object with 'videos'")
    categories = {entry["id"]: entry for entry in _entries(truth_content, "categories", truth_name)}
    videos = {entry["id"]: entry for entry in _entries(truth_content, "videos", truth_name)}
    names = {number: str(categories[number].get("name", number)) for number in sorted(categories)}
    contents = Contents(names, dict(sorted(videos.items())))
    _read_truth(truth_content, truth_name, contents)
    if not isinstance(results_content, list):
        raise UserError(f"{results_name} should be a list of results: [{{'video_id': ..., 'score': ..., ...}}]")
    _read_results(results_content, results_name, contents)
    return contents


def _load(source: Any, what: str) -> tuple[str, Any]:
    if not isinstance(source, str | Path):
        return what, source
    try:
        return str(source), json.loads(Path(source).read_bytes())
    except OSError as error:
        raise UserError(f"{source}: {what} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{source} is not JSON: {error}") from None


def _entries(content: Mapping[str, Any], key: str, name: str) -> list[Mapping[str, Any]]:
    entries = content.get(key)
    if not isinstance(entries, list):
        raise UserError(f"{name} has no list '{key}'")
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("id"), int):
            raise UserError(f"{name}: {key}[{index}] has no integer 'id'")
    return entries


def _read_truth(content: Mapping[str, Any], name: str, contents: Contents) -> None:
    if not content.get("annotations"):
        contents.suspicions.add("no truth to score against", f"{name} has no annotations")
        return
    entries = _entries(content, "annotations", name)
    last_of = {entry["id"]: entry for entry in entries}
    for entry in entries:
        where = f"{name}: annotation {entry['id']}"
        last = last_of[entry["id"]]
        if last is not entry:
            contents.suspicions.add("annotation id used again, the last annotation counts for all", where)
        if _is_listed(entry, where, contents) and (last is entry or _is_listed(last, where, contents)):
            track = _truth_track(last, f"{where} (video {last['video_id']})", contents)
            contents.truth.setdefault((last["video_id"], last["category_id"]), []).append(track)


def _is_listed(entry: Mapping[str, Any], where: str, contents: Contents) -> bool:
    """Whether an annotation is of a listed video and category: the official evaluation skips the others."""
    for key, known in (("video_id", contents.videos), ("category_id", contents.categories)):
        if not isinstance(entry.get(key), int):
            raise UserError(f"{where} has no integer '{key}'")
        if entry[key] not in known:
            contents.suspicions.add(f"{key} that the truth does not list, left out", f"{where}: {entry[key]}")
            return False
    return True


def _truth_track(entry: Mapping[str, Any], where: str, contents: Contents) -> TruthTrack:
    for key in ("segmentations", "areas"):
        if not isinstance(entry.get(key), list):
            raise UserError(f"{where} has no list '{key}': give it one entry a frame, null where absent")
    if not isinstance(entry.get("iscrowd"), int):
        raise UserError(f"{where} has no 'iscrowd': set it to 0 or 1")
    if not all(value is None or isinstance(value, numbers.Real) for value in entry["areas"]):
        raise UserError(f"{where}: 'areas' holds something that is neither a number nor null")
    if entry["id"] == 0:
        contents.suspicions.add("the official evaluation never credits annotation id 0", where)
    video = contents.videos[entry["video_id"]]
    size = (video.get("height"), video.get("width"))
    if not all(isinstance(side, int) for side in size):
        raise UserError(f"{where}: its video has no integer 'height' and 'width'")

    def read_mask(segmentation: Any) -> RLE | None:
        # An RLE keeps its own size, right or wrong: sizes enter the official figures in the overlap only.
        return to_rle(segmentation, *(rle_size(segmentation) if isinstance(segmentation, dict) else size))

    masks = _read_masks(entry["segmentations"], read_mask, video, where, contents.suspicions)
    return TruthTrack(entry["id"], masks, _mean_area(entry["areas"]), bool(entry["iscrowd"]))


def _read_results(entries: list[Any], name: str, contents: Contents) -> None:
    if not entries:
        contents.suspicions.add("nothing to score", f"{name} is an empty list")
    for index, entry in enumerate(entries):
        where = f"{name}: entry {index}"
        if not isinstance(entry, Mapping) or not all(key in entry for key in ("video_id", "category_id")):
            raise UserError(f"{where} is not a result with 'video_id', 'category_id', 'score', 'segmentations'")
        video, category = entry["video_id"], entry["category_id"]
        where = f"{where} (video {video})"
        if not isinstance(video, int) or video not in contents.videos:
            raise UserError(f"{where} is of a video that the truth does not list: remove it or check the id")
        if not isinstance(category, int) or category not in contents.categories:
            contents.suspicions.add("category_id that the truth does not list, left out", f"{where}: {category}")
            continue
        contents.results.setdefault((video, category), []).append(_result_track(index, entry, where, contents))


def _result_track(index: int, entry: Mapping[str, Any], where: str, contents: Contents) -> ResultTrack:
    score = entry.get("score")
    if not isinstance(score, numbers.Real) or math.isnan(score):
        raise UserError(f"{where} has no 'score': give it a number")
    if not isinstance(entry.get("segmentations"), list):
        raise UserError(f"{where} has no list 'segmentations': give it one RLE a frame, null where absent")

    def read_mask(segmentation: Any) -> RLE | None:
        if not isinstance(segmentation, dict) or not isinstance(segmentation.get("counts"), str | bytes):
            raise ValueError("the masks of results must be compressed RLE (pycocotools.mask.encode) or null")
        return to_rle(segmentation, *rle_size(segmentation))

    video = contents.videos[entry["video_id"]]
    masks = _read_masks(entry["segmentations"], read_mask, video, where, contents.suspicions)
    areas = [area(rle) for rle in masks if rle is not None]
    return ResultTrack(index, masks, _mean_area(areas), float(score))


def _read_masks(
    segmentations: list[Any],
    read_mask: Callable[[Any], RLE | None],
    video: Mapping[str, Any],
    where: str,
    suspicions: Suspicions,
) -> list[RLE | None]:
    masks = []
    size = [video.get("height"), video.get("width")]
    for frame, segmentation in enumerate(segmentations):
        try:
            rle = read_mask(segmentation) if segmentation else None
        except ValueError as error:
            raise UserError(f"{where}, frame {frame}: {error}") from None
        if rle is not None and list(rle["size"]) != size:
            example = f"{where}, frame {frame}: [height, width] {list(rle['size'])}, not {size}"
            suspicions.add("masks of another size than their video", example)
        masks.append(rle)
    names = video.get("file_names")
    length = len(names) if isinstance(names, list) else video.get("length", len(masks))
    if len(masks) != length:
        example = f"{where}: {len(masks)} segmentations, {length} frames"
        suspicions.add("segmentations for another number of frames than their video has", example)
    return masks


def _mean_area(areas: list[Any]) -> float:
    """The mean over the frames in which the object is to be seen, 0 where it never is."""
    visible = [value for value in areas if value]
    return float(np.mean(visible)) if visible else 0.0
