"""The kinds of datasets: what each needs, which splits it has, and how its videos are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from vistr.errors import UserError
from vistr.files import require_file, require_folder

if TYPE_CHECKING:
    from vistr.data.layouts import Split
    from vistr.data.settings import Dataset
    from vistr.data.videos import VideoSet


class Released:
    """A known release in the YouTube-VIS format below dataset.root, whose layout is found."""

    splits: tuple[str, ...] = ("train", "valid", "test")
    """Those it has, beside the videos that are held out of "train"."""
    writes = False
    """Whether the videos are made before they are read."""
    pictures = False
    """Whether its videos are single pictures, which become clips by being moved."""

    def require(self, dataset: Dataset) -> None:
        """Raise a UserError where what is read is not named, or not there."""
        if not dataset.root:
            raise UserError(f"dataset={dataset.name} needs dataset.root=, the folder {dataset.name} lies in.")
        require_folder("dataset.root", dataset.root, f"the one {dataset.name} lies in")

    def read(self, dataset: Dataset, split: str) -> VideoSet:
        """The videos of a split."""
        from vistr.data.layouts import find_layout
        from vistr.data.ytvis import read_ytvis

        return read_ytvis(*find_layout(dataset.name, Path(str(dataset.root)), cast("Split", split)))


class Named(Released):
    """An annotation file in the YouTube-VIS format and a folder of frames, which the settings name themselves."""

    splits = ("train",)

    def require(self, dataset: Dataset) -> None:
        """Raise a UserError where one of the two is not named, or not there."""
        given = [key for key in ("annotations", "images") if getattr(dataset, key) is not None]
        if len(given) == 1:
            raise UserError(
                f"dataset.{given[0]}= alone is not enough: give both dataset.annotations= and dataset.images=."
            )
        if not given:
            what = "dataset.annotations=<file.json> and dataset.images=<folder of the videos' frames>"
            raise UserError(f"dataset={dataset.name} needs {what}.")
        require_file("dataset.annotations", str(dataset.annotations), "the annotation file")
        require_folder("dataset.images", str(dataset.images), "the folder of the videos' frames")

    def read(self, dataset: Dataset, split: str) -> VideoSet:
        """All videos of the file."""
        from vistr.data.ytvis import read_ytvis

        return read_ytvis(Path(str(dataset.annotations)), Path(str(dataset.images)))


class Generated(Released):
    """Moving shapes with exact truth, generated below dataset.root."""

    splits, writes = ("train",), True

    def require(self, dataset: Dataset) -> None:
        """Nothing is needed."""

    def read(self, dataset: Dataset, split: str) -> VideoSet:
        """The videos, which are written unless they are there."""
        from vistr.data.layouts import find_layout
        from vistr.data.settings import generated
        from vistr.data.shapes import write_shapes
        from vistr.data.ytvis import read_ytvis

        folder = write_shapes(Path(str(dataset.root)), **generated(dataset))
        return read_ytvis(*find_layout(dataset.name, folder, "train"))


class Pictures(Released):
    """COCO instance annotations below dataset.root, or an annotation file and a folder of pictures."""

    splits: tuple[str, ...] = ("train", "valid")
    pictures = True

    def require(self, dataset: Dataset) -> None:
        """Raise a UserError where what is read is not named, or not there."""
        if dataset.categories is not None:
            from vistr.data.category_tables import read_table

            read_table(dataset.categories)
        (Named if is_named(dataset) else Released).require(self, dataset)

    def read(self, dataset: Dataset, split: str) -> VideoSet:
        """Every picture as a video of one frame; for training those alone that show an object of the categories."""
        from vistr.data.category_tables import read_table
        from vistr.data.coco import read_coco
        from vistr.data.layouts import find_layout

        table = None if dataset.categories is None else read_table(dataset.categories)
        if is_named(dataset):
            files = Path(str(dataset.annotations)), Path(str(dataset.images))
        else:
            files = find_layout(dataset.name, Path(str(dataset.root)), cast("Split", split))
        return read_coco(*files, table, without_objects=split != "train")


class GeneratedPictures(Pictures):
    """Pictures of shapes with exact truth, generated below dataset.root as a COCO dataset."""

    splits, writes = ("train",), True

    def require(self, dataset: Dataset) -> None:
        """Raise a UserError where files are named: they are generated."""
        if is_named(dataset) or dataset.categories is not None:
            raise UserError("dataset=shape_pictures generates its pictures: read files with dataset=coco.")

    def read(self, dataset: Dataset, split: str) -> VideoSet:
        """Every picture as a video of one frame; they are written unless they are there."""
        from vistr.data.coco import read_coco
        from vistr.data.layouts import find_layout
        from vistr.data.settings import generated
        from vistr.data.shapes import write_shapes

        folder = write_shapes(Path(str(dataset.root)), **generated(dataset))
        return read_coco(*find_layout("coco", folder, "train"))


class Mixed(Released):
    """Several datasets, each read by its own reader."""

    splits = ()

    def require(self, dataset: Dataset) -> None:
        """Raise a UserError where the parts and what is said of them do not agree, or a key has no effect."""
        from vistr.data.settings import OF_MIXTURES

        names = ", ".join(dataset.parts)
        if not names:
            raise UserError("dataset=mix needs dataset.of=, the datasets it is of, such as dataset.of=[shapes,ovis].")
        for key, default in vars(type(dataset)()).items():
            if key not in OF_MIXTURES and getattr(dataset, key) != default:
                raise UserError(
                    f"dataset.{key}= has no effect on dataset=mix: set that of a part, such as"
                    f" dataset.parts.{dataset.evaluated_name}.{key}=."
                )
        if dataset.ratios and len(dataset.ratios) != len(dataset.parts):
            raise UserError(
                f"dataset.ratios={dataset.ratios} are {len(dataset.ratios)} for {len(dataset.parts)} parts: give one to"
                f" each of {names}."
            )
        if dataset.evaluated is not None and dataset.evaluated not in dataset.parts:
            raise UserError(f"dataset.evaluated={dataset.evaluated} is none of the parts {names}.")
        if any(part.name == dataset.name for part in dataset.parts.values()):
            raise UserError("A part of dataset=mix cannot be a mixture itself: list its parts in dataset.of=.")

    def read(self, dataset: Dataset, split: str) -> VideoSet:
        """Not to be called: parts are read one by one."""
        raise NotImplementedError


READERS: dict[str, Released] = {
    "shapes": Generated(),
    "shape_pictures": GeneratedPictures(),
    "ytvis2019": Released(),
    "ytvis2021": Released(),
    "ovis": Released(),
    "custom": Named(),
    "coco": Pictures(),
    "mix": Mixed(),
}
"""Every dataset by the name of its option; conf/dataset/<name>.yaml says what it sets."""


def is_generated(name: str) -> bool:
    """Whether the videos or pictures of a dataset are generated."""
    return name in READERS and READERS[name].writes


def is_named(dataset: Dataset) -> bool:
    """Whether the settings name the dataset's files themselves."""
    return dataset.annotations is not None or dataset.images is not None


def reader_of(dataset: Dataset) -> Released:
    """The reader of the videos that the settings name."""
    reader = READERS[dataset.name]
    return Named() if is_named(dataset) and not reader.pictures else reader
