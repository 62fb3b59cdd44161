"""What types and ranges cannot say of network, schedule and data: missing files, keys that contradict each other."""

from __future__ import annotations

from vistr.config.ranges import check_ranges
from vistr.config.schema import Config
from vistr.config.sizes import evaluation_size
from vistr.config.task_checks import check_task, require_file, require_folder
from vistr.errors import UserError


def check(config: Config, *, with_dataset: bool = True) -> None:
    """Raise a UserError that names the first key out of range or at odds with another.

    `with_dataset=False` leaves out the dataset's own files and splits, which nobody needs who only builds a network;
    evaluation learns its dataset from the checkpoint, after the configuration is composed.
    """
    check_ranges(config)
    _check_model(config)
    _check_schedule(config)
    check_task(config)
    # The others read nothing of the dataset but its clip size.
    if with_dataset and config.task.name in ("train", "evaluate"):
        check_dataset(config)


def _check_model(config: Config) -> None:
    transformer = config.transformer
    width, heads = transformer.hidden_dim, transformer.num_heads
    if width % heads:
        raise UserError(
            f"transformer.hidden_dim={width} is not a multiple of transformer.num_heads={heads}: "
            "every head needs the same number of channels."
        )
    if width % 96:
        raise UserError(
            f"transformer.hidden_dim={width} is not a multiple of 96: the position code (three axes of sine "
            "and cosine) and the mask head (width halved up to five times) need that."
        )
    for key in ("backbone", "dataset"):
        section = getattr(config, key)
        if section.short_side > section.long_side:
            raise UserError(
                f"{key}.short_side={section.short_side} is larger than {key}.long_side={section.long_side}."
            )
    size = evaluation_size(config)
    if size.long_side is not None and size.short_side > size.long_side:
        raise UserError(
            f"dataset.eval_long_side={size.long_side} is less than the short side of evaluation, {size.short_side}: "
            "give both dataset.eval_short_side= and dataset.eval_long_side=."
        )


def _check_schedule(config: Config) -> None:
    optimizer = config.optimizer
    if optimizer.drop_epoch is not None and optimizer.drop_epoch > optimizer.epochs:
        raise UserError(
            f"optimizer.drop_epoch={optimizer.drop_epoch} lies after the end, optimizer.epochs="
            f"{optimizer.epochs}: set both, or optimizer.drop_epoch=null to keep the learning rate."
        )
    if optimizer.drop_factor > 1:
        raise UserError(
            f"optimizer.drop_factor={optimizer.drop_factor} is out of range: "
            "it multiplies the learning rate at optimizer.drop_epoch and must not exceed 1."
        )
    if optimizer.max_steps is not None and optimizer.warmup_steps >= optimizer.max_steps:
        raise UserError(
            f"optimizer.warmup_steps={optimizer.warmup_steps} leaves nothing of "
            f"optimizer.max_steps={optimizer.max_steps}."
        )
    augmentation = config.dataset.augmentation
    if augmentation.crop_min > augmentation.crop_max:
        raise UserError(
            f"dataset.augmentation.crop_min={augmentation.crop_min} is larger than "
            f"dataset.augmentation.crop_max={augmentation.crop_max}."
        )


def check_dataset(config: Config) -> None:
    """UserError where the dataset's files are not named or not there, or its split has no videos."""
    dataset = config.dataset
    explicit = [key for key in ("annotations", "images") if getattr(dataset, key) is not None]
    if len(explicit) == 1:
        raise UserError(
            f"dataset.{explicit[0]}= alone is not enough: give both dataset.annotations= and dataset.images=."
        )
    if dataset.name == "custom" and not explicit:
        raise UserError(
            "dataset=custom needs dataset.annotations=<file.json> and dataset.images=<folder of the videos' frames>."
        )
    if explicit:
        require_file(config, "dataset.annotations", "the annotation file")
        require_folder(config, "dataset.images", "the folder of the videos' frames")
    elif dataset.name != "shapes":
        require_folder(config, "dataset.root", f"the folder {dataset.name} lies in")
    if dataset.name in ("shapes", "custom") and dataset.split in ("valid", "test"):
        raise UserError(f"dataset.split={dataset.split}: {dataset.name} has no such split, only holdout and train.")
    if config.task.name == "evaluate" and dataset.split == "holdout" and dataset.holdout == 0:
        raise UserError(
            "dataset.split=holdout has no videos with dataset.holdout=0: choose dataset.split=train, or hold some out."
        )
