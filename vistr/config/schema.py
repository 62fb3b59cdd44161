"""Every knob of a run as typed dataclasses; the defaults are the paper's recipe on generated videos."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Backbone:
    """The ResNet and the clip size it is trained and evaluated at (pixels)."""

    name: str = "r50"
    dilation: bool = False
    frozen_stem: bool = True
    short_side: int = 300
    long_side: int = 540


@dataclass
class Transformer:
    """Encoder and decoder; `hidden_dim` is also the width every head follows from."""

    hidden_dim: int = 384
    num_heads: int = 8
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    feedforward_dim: int = 2048
    dropout: float = 0.1
    pre_norm: bool = False


@dataclass
class Augmentation:
    """Random changes to training clips, in this order (pixels); an empty list leaves its stage out."""

    flip: float = 0.5
    resize_short: list[int] = field(default_factory=lambda: list(range(480, 769, 32)))
    resize_long: int = 800
    photometric: bool = True
    crop_resize_short: list[int] = field(default_factory=lambda: [400, 500, 600])
    crop_min: int = 384
    crop_max: int = 600


@dataclass
class Dataset:
    """Where the videos are, which of them are held out, and how clips are cut from them.

    `root` is the folder of a known dataset (or where `shapes` are generated); `annotations` and `images`
    name the file and the folder themselves. `short_side` and `long_side` are training's; those of evaluation and
    `infer` follow from `eval_short_side` and `eval_long_side` by the rule in vistr/config/sizes.py. `clip_overlap` is
    the share of a clip's frames that the next clip of a long video sees again. With `few_sizes` clips are padded to
    one of three sizes where they fit, else to multiples of `size_divisor`; null means so on a GPU. `num_instances` is
    the default of the key of that name at the root. The keys from `num_videos` on serve `shapes` alone.
    """

    name: str = "shapes"
    root: str | None = None
    annotations: str | None = None
    images: str | None = None
    split: str = "holdout"
    holdout: float = 0.1
    seed: int = 42
    short_side: int = 300
    long_side: int = 540
    eval_short_side: int | None = None
    eval_long_side: int | None = None
    size_divisor: int = 32
    few_sizes: bool | None = None
    num_instances: int = 10
    num_workers: int | None = None
    clip_overlap: float = 0.5
    augmentation: Augmentation = field(default_factory=Augmentation)
    num_videos: int = 16
    video_length: int = 24
    height: int = 96
    width: int = 160
    max_objects: int = 3


def generated_videos(dataset: Dataset) -> dict[str, int]:
    """The settings of `dataset=shapes` that say which videos are generated, as `write_shapes` takes them."""
    return {
        "num_videos": dataset.num_videos,
        "num_frames": dataset.video_length,
        "height": dataset.height,
        "width": dataset.width,
        "max_objects": dataset.max_objects,
        "seed": dataset.seed,
    }


@dataclass
class Loss:
    """Weights of the losses (`_weight`) and of the matching costs (`_cost`)."""

    class_weight: float = 1.0
    box_weight: float = 5.0
    giou_weight: float = 2.0
    mask_weight: float = 1.0
    dice_weight: float = 1.0
    no_object_weight: float = 0.1
    aux_losses: bool = True
    class_cost: float = 1.0
    box_cost: float = 5.0
    iou_cost: float = 2.0


@dataclass
class Optimizer:
    """AdamW and its schedule; `max_steps` (optimizer steps) ends a run before `epochs` does."""

    learning_rate: float = 1e-4
    backbone_learning_rate: float = 1e-5
    weight_decay: float = 1e-4
    clip_norm: float = 0.1
    epochs: int = 18
    drop_epoch: int | None = 12
    drop_factor: float = 0.1
    batch_size: int = 1
    accumulation_steps: int = 1
    max_steps: int | None = None
    warmup_steps: int = 0
    ema: float | None = None


@dataclass
class Task:
    """What to do, how often to report it (steps or epochs), and which tracks count as found.

    The keys from `max_tracks` to `frames_per_second` serve `infer` alone: the best tracks of a video that are
    kept (null: all), the names of the categories to keep (an empty list: all), whether pictures and a video are
    drawn, and the rate of the drawn video (null: the file's own, or 10 for a folder of frames).
    `height` and `width` serve `benchmark` and `export`: the frames' size (null: the clip size of the dataset).
    The keys from `repeats` to `limit_minutes` serve `benchmark` alone: the warm runs of each measurement, and what
    is measured. Empty lists of the sweep follow from the size and `num_frames`; a point of it that takes longer
    than `limit_minutes` is given up. `num_videos` serves `view` alone: how many videos get a page (null: all).
    `objects` serves `rehearse` alone: the numbers of objects to rehearse a training step with (an empty list: 1, 4
    and `num_instances`); it takes `height`, `width` and `repeats` too.
    """

    name: str = "train"
    log_every: int = 10
    evaluate_every: int = 1
    checkpoint_every: int = 1
    save_minutes: float = 10.0
    num_pictures: int = 4
    min_score: float = 0.0
    max_tracks: int | None = None
    categories: list[str] = field(default_factory=list)
    overlay: bool = True
    frames_per_second: float | None = None
    height: int | None = None
    width: int | None = None
    repeats: int = 5
    training: bool = True
    sweep: bool = True
    sweep_frames: list[int] = field(default_factory=list)
    sweep_heights: list[int] = field(default_factory=list)
    limit_minutes: float = 10.0
    num_videos: int | None = 20
    objects: list[int] = field(default_factory=list)


@dataclass
class Device:
    """Where to compute; `threads: null` leaves their number to MindSpore.

    With `precision: fp16` the network computes in half precision, with dynamic loss scaling (from `loss_scale`) in
    training; parameters, normalisation, attention weights, matching and losses stay in float32. `tf32` has a GPU's
    convolutions and matrix products of float32 rounded to TF32, or not; null leaves MindSpore's defaults. With
    `recompute` training takes less memory and more time. `keep_graphs` keeps compiled graphs for the next run.
    """

    target: str = "auto"
    id: int = 0
    threads: int | None = None
    precision: str = "fp32"
    tf32: bool | None = None
    loss_scale: float = 65536.0
    recompute: bool = False
    keep_graphs: bool = True


@dataclass
class Config:
    """One run. `run_dir` (its folder) and `overrides` (what was typed) are filled in when it is composed."""

    num_frames: int = 36
    num_instances: int = 10
    sequence_head: str = "dilated"
    seed: int = 42
    checkpoint: str | None = None
    resume: str | None = None
    init: str | None = None
    input: str | None = None
    output: str | None = None
    format: str | None = None
    annotations: str | None = None
    results: str | None = None
    runs: str | None = None
    optimize: str = "AP"
    direction: str = "maximize"
    outputs: str = "outputs"
    run_dir: str | None = None
    overrides: list[str] = field(default_factory=list)
    backbone: Backbone = field(default_factory=Backbone)
    transformer: Transformer = field(default_factory=Transformer)
    dataset: Dataset = field(default_factory=Dataset)
    loss: Loss = field(default_factory=Loss)
    optimizer: Optimizer = field(default_factory=Optimizer)
    task: Task = field(default_factory=Task)
    device: Device = field(default_factory=Device)


# The path keys that hold several, separated by commas.
PATH_LIST_KEYS = ("runs",)
# Keys that hold a path of the user's: relative to where he stands, and never part of a run's name.
PATH_KEYS = (
    "checkpoint",
    "resume",
    "init",
    "input",
    "output",
    "annotations",
    "results",
    "runs",
    "outputs",
    "dataset.root",
    "dataset.annotations",
    "dataset.images",
)
