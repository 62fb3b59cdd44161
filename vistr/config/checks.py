"""What types and ranges cannot say: files that must exist, and keys that contradict each other."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

from vistr.config.ranges import check_ranges
from vistr.config.schema import Config
from vistr.errors import UserError


def check(config: Config, *, with_dataset: bool = True) -> None:
    """Raise a UserError that names the first key out of range or at odds with another.

    `with_dataset=False` leaves out the dataset's own files and splits: evaluation learns its dataset from
    the checkpoint, after the configuration is composed.
    """
    check_ranges(config)
    _check_model(config)
    _check_schedule(config)
    _check_task(config)
    # The benchmark reads nothing of the dataset but its clip size, the others nothing at all.
    if with_dataset and config.task.name not in ("score", "benchmark", "compare"):
        _check_dataset(config)


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


def _check_task(config: Config) -> None:
    task = config.task.name
    if task == "compare":
        _require(config, "runs", "folders of runs, or patterns such as outputs/sweeps/*, separated by commas")
        return
    if config.runs is not None:
        raise UserError(f"runs= belongs to task=compare and has no effect on task={task}.")
    if task == "score":
        _require_file(config, "annotations", "the annotation file with the truth")
        _require_file(config, "results", "the results to score")
        return
    for key in ("annotations", "results"):
        if getattr(config, key) is not None:
            raise UserError(
                f"{key}= belongs to task=score and has no effect on task={task}; "
                "a dataset's own files are dataset.annotations= and dataset.images=."
            )
    if task == "evaluate":
        if not _require(config, "checkpoint", what := "the checkpoint, or a run's folder, to evaluate").exists():
            raise UserError(f"checkpoint={config.checkpoint} does not exist ({what}).")
        for key in ("resume", "init"):
            if getattr(config, key) is not None:
                raise UserError(f"{key}= belongs to task=train: the weights to evaluate are checkpoint=.")
        return
    if task == "benchmark":
        _check_benchmark(config)
        return
    if config.checkpoint is not None:
        raise UserError(
            "checkpoint= belongs to task=evaluate: train with init= to start from its weights, "
            "or with resume= to go on with a run."
        )
    if config.resume is not None and config.init is not None:
        raise UserError("resume= and init= contradict each other: a resumed run has its own weights.")
    if config.init is not None:
        _require_file(config, "init", "the weights to start from")


def _check_benchmark(config: Config) -> None:
    for key in ("resume", "init"):
        if getattr(config, key) is not None:
            raise UserError(f"{key}= belongs to task=train: the weights to measure with are checkpoint=, or random.")
    if config.checkpoint is not None and not Path(config.checkpoint).exists():
        raise UserError(f"checkpoint={config.checkpoint} does not exist (the checkpoint, or a run's folder).")
    given = [key for key in ("height", "width") if getattr(config.task, key) is not None]
    if len(given) == 1:
        raise UserError(f"task.{given[0]}= alone is not enough: give both task.height= and task.width=.")


def _check_dataset(config: Config) -> None:
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
        _require_file(config, "dataset.annotations", "the annotation file")
        _require_folder(config, "dataset.images", "the folder of the videos' frames")
    elif dataset.name != "shapes":
        _require_folder(config, "dataset.root", f"the folder {dataset.name} lies in")
    if dataset.name in ("shapes", "custom") and dataset.split in ("valid", "test"):
        raise UserError(f"dataset.split={dataset.split}: {dataset.name} has no such split, only holdout and train.")
    if config.task.name == "evaluate" and dataset.split == "holdout" and dataset.holdout == 0:
        raise UserError(
            "dataset.split=holdout has no videos with dataset.holdout=0: choose dataset.split=train, or hold some out."
        )


def _require_file(config: Config, key: str, what: str) -> None:
    value = _require(config, key, what)
    if not value.is_file():
        raise UserError(f"{key}={value}: there is no such file ({what}).")


def _require_folder(config: Config, key: str, what: str) -> None:
    value = _require(config, key, what)
    if not value.is_dir():
        raise UserError(f"{key}={value}: there is no such folder ({what}).")


def _require(config: Config, key: str, what: str) -> Path:
    value = attrgetter(key)(config)
    section = config.dataset.name if key.startswith("dataset.") else config.task.name
    group = "dataset" if key.startswith("dataset.") else "task"
    if not value:
        raise UserError(f"{group}={section} needs {key}=, {what}.")
    return Path(value)
