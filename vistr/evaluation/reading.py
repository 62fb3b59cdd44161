"""Truth and results as the YouTube-VIS evaluation sees them: read, checked, grouped by video and category."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vistr.data.polygons import Outlines
from vistr.data.run_lengths import loads_annotations
from vistr.data.segmentation import RLE, area, compressed_rles, rle_size, to_rle
from vistr.data.values import is_finite, printable
from vistr.errors import UserError, shown
from vistr.evaluation.results_file import read_results
from vistr.evaluation.suspicions import Suspicions

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


@dataclass
class Contents:
    """Everything the evaluation looks at; tracks are grouped by (video id, category id), in file order."""

    categories: dict[int, str]
    videos: dict[int, Mapping[str, Any]]
    truth: dict[Key, list[TruthTrack]] = field(default_factory=dict)
    results: dict[Key, list[ResultTrack]] = field(default_factory=dict)
    suspicions: Suspicions = field(default_factory=Suspicions)
    outlines: Outlines = field(default_factory=Outlines)


def read(truth: Mapping[str, Any] | str | Path, results: list[Any] | str | Path) -> Contents:
    """Read both sides; UserError names the file and entry where the official evaluation would crash."""
    truth_name, truth_content = _load(truth, "the truth", loads_annotations)
    results_name, results_content = _load(results, "the results")
    if not isinstance(truth_content, Mapping):
        raise UserError(f"{truth_name} is no YouTube-VIS annotation file: it should be an object with 'videos'")
    suspicions = Suspicions()
    categories, videos = (_by_id(truth_content, key, truth_name, suspicions) for key in ("categories", "videos"))
    names = {number: printable(str(categories[number].get("name", number))) for number in sorted(categories)}
    contents = Contents(names, dict(sorted(videos.items())), suspicions=suspicions)
    _read_truth(truth_content, truth_name, contents)
    if not isinstance(results_content, list):
        raise UserError(f"{results_name} should be a list of results: [{{'video_id': ..., 'score': ..., ...}}]")
    _read_results(results_content, results_name, contents)
    return contents


def _load(source: Any, what: str, loads: Callable[[bytes], Any] = json.loads) -> tuple[str, Any]:
    if not isinstance(source, str | Path):
        return what, source
    return str(source), read_results(Path(source), what, loads)


def _by_id(content: Mapping[str, Any], key: str, name: str, suspicions: Suspicions) -> dict[int, Mapping[str, Any]]:
    found: dict[int, Mapping[str, Any]] = {}
    for entry in _entries(content, key, name):
        if entry["id"] in found:
            suspicions.add(f"an id of '{key}' used again, the last entry counts", f"{name}: {entry['id']}")
        found[entry["id"]] = entry
    return found


def _entries(content: Mapping[str, Any], key: str, name: str) -> list[Mapping[str, Any]]:
    entries = content.get(key)
    if not isinstance(entries, list):
        raise UserError(f"{name} has no list '{key}'")
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not _is_id(entry.get("id")):
            raise UserError(f"{name}: {key}[{index}] has no integer 'id'")
    return entries


def _read_truth(content: Mapping[str, Any], name: str, contents: Contents) -> None:
    if not content.get("annotations"):
        contents.suspicions.add("no truth to score against", f"{name} has no annotations")
        return
    entries = _entries(content, "annotations", name)
    last_of = {entry["id"]: entry for entry in entries}
    tracks: dict[int, TruthTrack] = {}
    for entry in entries:
        where = f"{name}: annotation {entry['id']}"
        last = last_of[entry["id"]]
        if last is not entry:
            contents.suspicions.add("annotation id used again, the last annotation counts for all", where)
        if _is_listed(entry, where, contents) and (last is entry or _is_listed(last, where, contents)):
            if entry["id"] not in tracks:
                tracks[entry["id"]] = _truth_track(last, f"{where} (video {last['video_id']})", contents)
            contents.truth.setdefault((last["video_id"], last["category_id"]), []).append(tracks[entry["id"]])


def _is_listed(entry: Mapping[str, Any], where: str, contents: Contents) -> bool:
    """Whether an annotation is of a listed video and category: the official evaluation skips the others."""
    for key, known in (("video_id", contents.videos), ("category_id", contents.categories)):
        if not _is_id(entry.get(key)):
            raise UserError(f"{where} has no integer '{key}'")
        if entry[key] not in known:
            contents.suspicions.add(f"{key} that the truth does not list, left out", f"{where}: {entry[key]}")
            return False
    return True


def _truth_track(entry: Mapping[str, Any], where: str, contents: Contents) -> TruthTrack:
    if not isinstance(entry.get("segmentations"), list):
        raise UserError(f"{where} has no list 'segmentations': give it one entry a frame, null where absent")
    if entry.get("iscrowd") not in (0, 1):
        raise UserError(f"{where} has no 'iscrowd': set it to 0 or 1, not {shown(entry.get('iscrowd'), 40)}")
    stated = entry.get("areas")
    if stated is not None and not isinstance(stated, list):
        raise UserError(f"{where}: 'areas' is no list: give it one entry a frame, null where absent")
    if not all(value is None or (is_finite(value) and value >= 0) for value in stated or ()):
        raise UserError(f"{where}: 'areas' holds something that is neither a number of pixels nor null")
    if entry["id"] == 0:
        contents.suspicions.add("the official evaluation never credits annotation id 0", where)
    video = contents.videos[entry["video_id"]]
    size: tuple[Any, Any] = (video.get("height"), video.get("width"))
    if not all(isinstance(side, int) for side in size):
        raise UserError(f"{where}: its video has no integer 'height' and 'width'")

    def read_mask(segmentation: Any) -> RLE | None:
        # An RLE keeps its own size, right or wrong: sizes enter the official figures in the overlap only.
        height, width = rle_size(segmentation) if isinstance(segmentation, dict) else size
        return to_rle(segmentation, height, width, contents.outlines)

    masks = _read_masks(entry["segmentations"], read_mask, video, where, contents.suspicions)
    if not any(stated or ()) and (measured := [area(rle) for rle in masks if rle is not None]):
        contents.suspicions.add("without areas, they are taken from the masks", where)
        stated = measured
    return TruthTrack(entry["id"], masks, _mean_area(stated or []), bool(entry["iscrowd"]))


def _read_results(entries: list[Any], name: str, contents: Contents) -> None:
    if not entries:
        contents.suspicions.add("nothing to score", f"{name} is an empty list")
    seen: dict[Any, int] = {}
    for index, entry in enumerate(entries):
        where = f"{name}: entry {index}"
        if not isinstance(entry, Mapping) or not all(key in entry for key in ("video_id", "category_id")):
            raise UserError(f"{where} is not a result with 'video_id', 'category_id', 'score', 'segmentations'")
        video, category = entry["video_id"], entry["category_id"]
        where = f"{where} (video {shown(video, 40)})"
        if not _is_id(video) or video not in contents.videos:
            raise UserError(f"{where} is of a video that the truth does not list: remove it or check the id")
        if not _is_id(category) or category not in contents.categories:
            kind = "category_id that the truth does not list, left out"
            contents.suspicions.add(kind, f"{where}: {shown(category, 40)}")
            continue
        track = _result_track(index, entry, where, contents)
        first = seen.setdefault((video, category, track.score, _code(track)), index)
        if first != index and any(rle is not None for rle in track.segmentations):
            contents.suspicions.add("a result given twice, both are scored", f"{where} equals entry {first}")
        contents.results.setdefault((video, category), []).append(track)


def _code(track: ResultTrack) -> int:
    return hash(tuple(None if rle is None else rle["counts"] for rle in track.segmentations))


def _result_track(index: int, entry: Mapping[str, Any], where: str, contents: Contents) -> ResultTrack:
    score: Any = entry.get("score")
    if not is_finite(score):
        raise UserError(f"{where} has no 'score': give it a number, not {shown(score, 40)}")
    if not 0 <= score <= 1:
        contents.suspicions.add("scores outside 0 to 1, ranked as they are", f"{where}: {score:g}")
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
    height, width = size = [video.get("height"), video.get("width")]
    masks = None
    if isinstance(height, int) and isinstance(width, int):
        masks = compressed_rles(segmentations, height, width)
    if masks is None:
        masks = []
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


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _mean_area(areas: list[Any]) -> float:
    """The mean over the frames in which the object is to be seen, 0 where it never is."""
    visible = [value for value in areas if value]
    return float(np.mean(visible)) if visible else 0.0
