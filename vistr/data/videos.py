"""Videos with their objects, as the rest of the project holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vistr.data.segmentation import RLE
from vistr.errors import UserError, shortened

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Category:
    id: int
    name: str


@dataclass(frozen=True)
class Annotation:
    """One object through a video. Per frame: the mask, the box (x, y, width, height) in pixels and the area
    (None where the file gives none); mask and box are both None where the object is absent."""

    id: int
    category_id: int
    segmentations: Sequence[RLE | None]
    boxes: Sequence[Box | None]
    areas: Sequence[float | None]
    iscrowd: bool


@dataclass(frozen=True)
class Video:
    """Frames of height x width pixels, their files relative to the image folder, and the objects in them.

    `ignored` are objects of categories that the video set lacks: not to be found, nor to be taught as nothing.
    """

    id: int
    height: int
    width: int
    file_names: tuple[str, ...]
    annotations: Sequence[Annotation]
    ignored: Sequence[Annotation] = ()

    def __len__(self) -> int:
        return len(self.file_names)


@dataclass(frozen=True)
class VideoSet:
    """Videos with their categories (sorted by id), and where both came from."""

    annotation_file: Path
    image_folder: Path
    categories: tuple[Category, ...]
    videos: tuple[Video, ...]

    @cached_property
    def labels(self) -> dict[int, int]:
        """Category id to label: 1 + position among the sorted ids (label 0 stands for nothing)."""
        return {category.id: 1 + position for position, category in enumerate(self.categories)}

    @property
    def names(self) -> list[str]:
        """Category names; names[label - 1] is a label's."""
        return [category.name for category in self.categories]

    @property
    def has_truth(self) -> bool:
        """Whether any object is annotated: the public validation files carry none."""
        return any(video.annotations for video in self.videos)


def check_images(video_set: VideoSet) -> None:
    """Every frame a video names exists; UserError names the first that does not and how many more."""
    # One listing a folder instead of one look-up a frame: much faster on network file systems.
    listings: dict[Path, set[str]] = {}
    missing: list[str] = []
    for video in video_set.videos:
        for frame, name in enumerate(video.file_names):
            path = video_set.image_folder / name
            if path.parent not in listings:
                folder = path.parent
                listings[folder] = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
            if path.name not in listings[path.parent]:
                missing.append(f"{shortened(path, 150)} (video {video.id}, frame {frame})")
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{video_set.annotation_file} names images that do not exist: {missing[0]}{more}")
