"""Where a dataset's annotations and frames lie below the folder people unpacked it into."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from vistr.errors import UserError

Split = Literal["train", "valid", "test"]

# {} is the split's name in any of its spellings; the first that exists is taken.
_YTVIS_ANNOTATIONS = (
    "{}.json",
    "annotations/instances_{}_sub.json",
    "{}/instances.json",
    "annotations/instances_{}.json",
    "annotations/{}.json",
    "instances_{}_sub.json",
    "instances_{}.json",
)
_OVIS_ANNOTATIONS = (
    "annotations_{}.json",
    "annotations/annotations_{}.json",
    "annotations/instances_{}.json",
    "{}/annotations_{}.json",
)
_YTVIS_IMAGES = ("{}/JPEGImages", "{}_all_frames/JPEGImages", "JPEGImages/{}", "{}/{}/JPEGImages")
_OVIS_IMAGES = ("{}/JPEGImages", "{}", "JPEGImages/{}")

_COCO_ANNOTATIONS = (
    *("annotations/instances_{}2017.json", "annotations/instances_{}2014.json", "annotations/instances_{}.json"),
    *("instances_{}2017.json", "instances_{}2014.json", "instances_{}.json", "annotations/{}.json", "{}.json"),
    "{}/_annotations.coco.json",
)
_COCO_IMAGES = ("{}2017", "images/{}2017", "{}2014", "images/{}2014", "images/{}", "{}/images", "{}", "images")

_LAYOUTS = {
    "ytvis2019": (_YTVIS_ANNOTATIONS, _YTVIS_IMAGES),
    # 2021 came as one instances.json inside each split's folder: look there first.
    "ytvis2021": (("{}/instances.json", *_YTVIS_ANNOTATIONS), _YTVIS_IMAGES),
    "ovis": (_OVIS_ANNOTATIONS, _OVIS_IMAGES),
    "coco": (_COCO_ANNOTATIONS, _COCO_IMAGES),
}
_SPELLINGS = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}


def find_layout(dataset: str, root: Path, split: Split) -> tuple[Path, Path]:
    """The annotation file and the image folder of one split of `dataset` below `root`.

    Knows the layouts of the YouTube-VIS 2019, 2021 and OVIS releases, of the original VisTR and of the
    "all frames" archives; any other dataset name is looked for in all of them. UserError lists what was
    looked for.
    """
    if not root.is_dir():
        raise UserError(f"no such dataset folder: {root} (set dataset.root to where {dataset} was unpacked)")
    annotations, images = _LAYOUTS.get(
        dataset, ((*_YTVIS_ANNOTATIONS, *_OVIS_ANNOTATIONS), (*_YTVIS_IMAGES, *_OVIS_IMAGES))
    )
    annotation_file = _first(root, annotations, split, "annotation file", dataset)
    return annotation_file, _first(root, images, split, "image folder", dataset)


def find_images(annotation_file: Path, frame: str) -> Path:
    """Find the folder of frames that belongs to an annotation file; `frame` is one of its file names.

    Looks where the known layouts put it for a file of this name and place, then beside the file. UserError lists
    what was looked for.
    """
    looked_for = list(dict.fromkeys(_likely_images(annotation_file)))
    for folder in looked_for:
        if (folder / frame).is_file():
            return folder
    shown = ", ".join(str(folder) for folder in looked_for)
    raise UserError(f"{frame}, the first frame of {annotation_file}, is in none of {shown}: set dataset.images=")


def _likely_images(annotation_file: Path) -> Iterator[Path]:
    for patterns, image_patterns in (layout for name, layout in _LAYOUTS.items() if name != "coco"):
        for pattern, spellings in itertools.product(patterns, _SPELLINGS.values()):
            for spelling in spellings:
                ending = Path(pattern.replace("{}", spelling)).parts
                if annotation_file.parts[-len(ending) :] == ending:
                    root = Path(*annotation_file.parts[: -len(ending)])
                    for image_pattern, image_spelling in itertools.product(image_patterns, spellings):
                        yield root / image_pattern.replace("{}", image_spelling)
    folder = annotation_file.parent
    yield from (folder / "JPEGImages", folder, folder.parent / "JPEGImages", folder.parent)


def _first(root: Path, patterns: tuple[str, ...], split: Split, what: str, dataset: str) -> Path:
    names = [pattern.replace("{}", spelling) for pattern in patterns for spelling in _SPELLINGS[split]]
    for name in names:
        path = root / name
        if path.is_file() if what == "annotation file" else path.is_dir():
            return path
    looked_for = ", ".join(dict.fromkeys(names))
    raise UserError(f"{root} has no {what} for the {split} split of {dataset}: looked for {looked_for}")
