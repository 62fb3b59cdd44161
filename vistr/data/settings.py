"""Settings of the videos, of the clips cut from them, and of their augmentation."""

# ruff: noqa: RUF009 (knob makes a field)
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vistr.data.readers import READERS, is_generated
from vistr.errors import UserError
from vistr.knobs import knob

MAX_SEED = 2**32 - 1  # the largest that NumPy takes
OF_MIXTURES = ("name", "parts", "ratios", "epoch_clips", "evaluated", "num_instances", "num_workers")
"""The keys that dataset=mix has; it takes all others from its parts."""


@dataclass
class Augmentation:
    """Random changes to training clips, by default the original's, in this order; an empty list skips its stage."""

    flip: float = knob(0.5, at_least=0, at_most=1)  # probability
    resize_short: list[int] = knob([*range(480, 769, 32)], at_least=1)  # pixels; the short side is drawn from these,
    resize_long: int = knob(800, at_least=1, needs=("resize_short", bool))  # the long side is at most this
    photometric: bool = True  # brightness, contrast, saturation, hue
    crop_resize_short: list[int] = knob([400, 500, 600], at_least=1)  # short sides before the crop
    # Sides of the crop are drawn from crop_min to crop_max, less where the frame is smaller.
    crop_min: int = knob(384, at_least=1, needs=("crop_resize_short", bool))
    crop_max: int = knob(600, at_least=1, needs=("crop_resize_short", bool))

    def check(self, at: str) -> None:
        """Raise a UserError where no crop has both limits."""
        if self.crop_min > self.crop_max:
            raise UserError(f"{at}.crop_min={self.crop_min} is larger than {at}.crop_max={self.crop_max}.")


@dataclass
class Motion:
    """How a picture moves in the clip made of it; each value goes evenly from one that is drawn to another."""

    rotation: float = knob(15.0, at_least=0, at_most=180)  # degrees to either side
    zoom: float = knob(1.3, at_least=1, at_most=4)  # the largest change in size over a clip
    shift: float = knob(0.1, at_least=0, less_than=1)  # how far the crop may leave the picture, share of its side
    # Probability that an object of another picture is pasted over the clip, and is one of its objects.
    occlusion: float = knob(0.0, at_least=0, at_most=1)
    max_objects: int = knob(20, at_least=1)  # the smaller ones beyond are ignored


@dataclass
class Dataset:
    """Where the videos are, which of them are held out, and how clips are cut from them."""

    name: str = knob("shapes", choices=tuple(READERS))
    # The dataset's folder; its layout is found. Where shapes are generated.
    root: str | None = knob(None, path="one", needs=("annotations", lambda file: file is None))
    annotations: str | None = knob(None, path="one")  # in its place the annotation file and
    images: str | None = knob(None, path="one")  # the folder of the videos' frames themselves
    # What is evaluated, and the share of the training videos kept for it: public validation files have no truth.
    split: str = knob("holdout", choices=("holdout", "train", "valid", "test"))
    holdout: float = knob(0.1, at_least=0, less_than=1)
    seed: int = knob(42, at_least=0, at_most=MAX_SEED)  # which videos those are
    holdout_ids: str | None = knob(None, path="one")  # or a text file with their ids, one a line
    # Clip size of training, pixels; that of evaluation and task=infer is chosen in vistr/config/evaluation_sizes.py.
    short_side: int = knob(300, at_least=1)
    long_side: int = knob(540, at_least=1)
    eval_short_side: int | None = knob(None, at_least=1)  # null: 300, as the original, or training's if that is another
    eval_long_side: int | None = knob(None, at_least=1)  # its limit; null: none
    size_divisor: int = knob(32, at_least=1)  # clips are padded to a multiple of this
    # true: to a square, a landscape or a portrait size, so that little is compiled; null: on a GPU.
    few_sizes: bool | None = None
    num_instances: int = knob(10, at_least=1)  # what num_instances= is unless it is set
    num_workers: int | None = knob(None, at_least=0)  # threads that read frames; null: 1 to 8, cores less one
    clip_overlap: float = knob(0.5, at_least=0, less_than=1)  # long videos: share of a clip that the next sees again,
    clip_min_iou: float = knob(0.3, at_least=0, at_most=1)  # and on it, the least IoU of masks that are joined
    augmentation: Augmentation = field(default_factory=Augmentation)
    # dataset=coco: a table of conf/dataset/categories, or a file of your own; null: the file's own, COCO's 80.
    categories: str | None = knob(None, path="table")
    # dataset=coco and dataset=shape_pictures: how pictures become clips.
    motion: Motion = knob(Motion, needs=("name", lambda name: READERS[name].pictures))
    # From here on: dataset=shapes and dataset=shape_pictures alone.
    num_videos: int = knob(16, at_least=1, needs=("name", is_generated))  # or pictures
    video_length: int = knob(24, at_least=1, needs=("name", "shapes".__eq__))  # frames
    height: int = knob(96, at_least=1, needs=("name", is_generated))  # pixels
    width: int = knob(160, at_least=1, needs=("name", is_generated))
    max_objects: int = knob(3, at_least=1, needs=("name", is_generated))  # in a video
    # From here on: dataset=mix alone, which has its other settings in its parts.
    parts: dict[str, Dataset] = field(default_factory=dict)  # datasets by name
    ratios: list[float] = knob([], more_than=0)  # their shares of an epoch's clips, in that order; []: each clip once
    epoch_clips: int | None = knob(None, at_least=1)  # clips an epoch; null: as many as the parts have together
    evaluated: str | None = None  # the part that is evaluated; null: the last

    def check(self, at: str) -> None:
        """Raise a UserError where the sides contradict each other."""
        if self.short_side > self.long_side:
            raise UserError(f"{at}.short_side={self.short_side} is larger than {at}.long_side={self.long_side}.")

    @property
    def by_name(self) -> dict[str, Dataset]:
        """The parts of a mixture by their names; any other dataset alone."""
        return self.parts or {self.name: self}

    @property
    def evaluated_part(self) -> Dataset:
        """The settings of what is evaluated: of a mixture those of one part."""
        part: Dataset = evaluated_part(self)
        return part

    @property
    def evaluated_name(self) -> str:
        """The part of a mixture that is evaluated; any other dataset's own name."""
        return self.evaluated or list(self.by_name)[-1]

    @property
    def holds_out(self) -> bool:
        """Whether any video is held out of training."""
        return self.holdout_ids is not None or self.holdout > 0


def evaluated_part(dataset: Any) -> Any:
    """The part of a mixture that is evaluated, any other dataset itself: a `Dataset`, or one being composed."""
    parts = dataset.parts
    if not parts:
        return dataset
    return parts[dataset.evaluated if dataset.evaluated in list(parts) else list(parts)[-1]]


def generated(dataset: Dataset) -> dict[str, Any]:
    """The settings of generated videos or pictures that say which are generated, as `write_shapes` takes them."""
    return {
        "num_videos": dataset.num_videos,
        "num_frames": dataset.video_length,
        "height": dataset.height,
        "width": dataset.width,
        "max_objects": dataset.max_objects,
        "seed": dataset.seed,
        "pictures": dataset.name == "shape_pictures",
    }
