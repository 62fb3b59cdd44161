"""Check a downloaded YouTube-VIS or OVIS folder, report missing files, and write the `_sub` files releases lack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vistr.data.images import image_size
from vistr.data.layouts import Split, find_layout
from vistr.data.videos import VideoSet
from vistr.data.ytvis import read_ytvis
from vistr.errors import UserError
from vistr.files import replacing

SPLITS: tuple[Split, ...] = ("train", "valid", "test")


@dataclass(frozen=True)
class SplitState:
    """One split of a dataset: its videos and what is wrong with them, or (`problem`) why it cannot be used.

    `lost` are the missing frames of a video, by its id; `other_size` says of a video why its pictures do not fit.
    """

    split: Split
    video_set: VideoSet | None = None
    lost: dict[int, list[str]] | None = None
    other_size: dict[int, str] | None = None
    problem: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether all of it can be used."""
        return self.video_set is not None and not self.lost and not self.other_size


def check_split(dataset: str, root: Path, split: Split) -> SplitState:
    """Read a split's annotations, look for every frame, and open the first of each video."""
    try:
        video_set = read_ytvis(*find_layout(dataset, root, split))
    except UserError as error:
        return SplitState(split, problem=str(error))
    lost: dict[int, list[str]] = {}
    other: dict[int, str] = {}
    listings: dict[Path, set[str]] = {}
    for video in video_set.videos:
        paths = [video_set.image_folder / name for name in video.file_names]
        for folder in {path.parent for path in paths} - set(listings):
            listings[folder] = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
        there = [path.name in listings[path.parent] for path in paths]
        if not all(there):
            lost[video.id] = [name for name, is_there in zip(video.file_names, there, strict=True) if not is_there]
        elif wrong := _other_size(paths[0], video.height, video.width):
            other[video.id] = wrong
    return SplitState(split, video_set, lost, other)


def _other_size(path: Path, height: int, width: int) -> str:
    try:
        found = image_size(path)
    except (UserError, FileNotFoundError) as error:
        return str(error)
    return "" if found == (width, height) else f"{path.name} has {found[0]}x{found[1]} pixels, not {width}x{height}"


def describe(state: SplitState) -> Iterator[str]:
    """The lines a person reads of a split."""
    if state.video_set is None or state.lost is None:
        yield f"{state.split}: not there. {state.problem}"
        return
    videos = state.video_set.videos
    objects = sum(len(video.annotations) for video in videos)
    truth = f"{objects} objects" if objects else "no truth (results go to the evaluation server)"
    yield f"{state.split}: {len(videos)} videos, {sum(map(len, videos))} frames, {truth}"
    yield f"  annotations  {state.video_set.annotation_file}"
    yield f"  frames       {state.video_set.image_folder}"
    yield f"  categories   {len(state.video_set.categories)}: {', '.join(state.video_set.names[:5])} ..."
    if state.lost:
        num_frames = sum(map(len, state.lost.values()))
        first = next(iter(state.lost.values()))[0]
        yield f"  missing      {num_frames} frames of {len(state.lost)} videos, such as {first}"
    for video_id, wrong in list((state.other_size or {}).items())[:3]:
        yield f"  wrong        video {video_id}: {wrong}"
    if (more := len(state.other_size or ()) - 3) > 0:
        yield f"  wrong        {more} more videos"
    if state.is_whole:
        yield "  complete"


def sub_file(root: Path, split: Split) -> Path:
    """Where the original VisTR, and this project, look for the annotations of a split."""
    return root / "annotations" / f"instances_{'val' if split == 'valid' else split}_sub.json"


def write_sub(state: SplitState, root: Path) -> Path | None:
    """Write `annotations/instances_<split>_sub.json`: the release's file without the videos that cannot be used.

    None where there is one already or the split is not there. Raises UserError where no video is left, or the file
    cannot be written.
    """
    path = sub_file(root, state.split)
    if state.video_set is None or path.exists():
        return None
    content: dict[str, Any] = json.loads(state.video_set.annotation_file.read_bytes())
    unusable = {*(state.lost or ()), *(state.other_size or ())}
    content["videos"] = [video for video in content["videos"] if video["id"] not in unusable]
    if not content["videos"]:
        raise UserError(
            f"{state.video_set.annotation_file}: no video has all its frames in {state.video_set.image_folder}"
        )
    if content.get("annotations") is not None:
        content["annotations"] = [entry for entry in content["annotations"] if entry["video_id"] not in unusable]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft:
            draft.write_text(json.dumps(content))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    return path
