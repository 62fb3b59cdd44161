"""What each task needs, and the keys that mean nothing to it."""

from __future__ import annotations

import difflib
import glob
from operator import attrgetter
from pathlib import Path

from vistr.config.schema import Config
from vistr.errors import UserError, shortened
from vistr.hub import is_remote

_EVALUATES = ("evaluate", "infer", "benchmark", "inspect", "export")
_TASKS_OF = {
    "annotations": ("score", "view"),
    "results": ("score", "view"),
    "checkpoint": _EVALUATES,
    "resume": ("train",),
    "init": ("train",),
    "input": ("infer", "convert", "average"),
    "output": ("convert", "average", "export"),
    "format": ("convert", "export"),
    "runs": ("compare",),
}
_INSTEAD = {
    "annotations": "a dataset's own files are dataset.annotations= and dataset.images=",
    "results": "a dataset's own files are dataset.annotations= and dataset.images=",
    "checkpoint": "train with init= to start from its weights, or with resume= to go on with a run",
    "resume": "the weights to use are checkpoint=, those to convert input=",
    "init": "the weights to use are checkpoint=, those to convert input=",
    "input": "the weights to start from are init=, those to evaluate checkpoint=, the data is dataset=",
    "output": "a run's folder lies in outputs=",
    "format": "it says what to write",
    "runs": "it names the folders of runs",
}
_OFFICIAL = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
_WITH_PACE = (*_OFFICIAL, "frames_per_second_with_loading")
# What a task's runs can be ranked by; the others have no figures of their own.
FIGURES_OF = {
    "train": (
        *_WITH_PACE,
        *(f"ema_{name}" for name in _WITH_PACE),
        *("loss", "clips_per_second", "memory_gb", "steps", "million_parameters"),
    ),
    "evaluate": _WITH_PACE,
    "score": _OFFICIAL,
    "infer": ("frames", "tracks"),
    "benchmark": (
        *("frames_per_second", "frames_per_second_with_loading", "memory_gb"),
        *("clips_per_second", "training_memory_gb"),
    ),
}
FORMATS = {"convert": ("checkpoint", "original"), "export": ("mindir", "onnx")}


def check_task(config: Config) -> None:
    """Raise a UserError that names the first key the task lacks, or that belongs to another task."""
    task = config.task.name
    for key, tasks in _TASKS_OF.items():
        if getattr(config, key) is not None and task not in tasks:
            theirs = " and ".join(f"task={name}" for name in tasks)
            raise UserError(f"{key}= belongs to {theirs} and has no effect on task={task}; {_INSTEAD[key]}.")
    require_figure(task, config.optimize, config.optimizer.ema)
    if task in ("score", "view"):
        _check_results(config)
    elif task == "compare":
        require(config, "runs", "folders of runs, or patterns such as outputs/sweeps/*, separated by commas")
    elif task == "train":
        _check_train(config)
    elif task == "convert":
        require_existing(config, "input", "the weights to convert")
    elif task == "average":
        require(config, "input", "a run's folder, or a pattern that several checkpoints match")
    elif task in _EVALUATES:
        _check_checkpoint(config)
    if task == "infer":
        _check_infer(config)
    if task in ("benchmark", "export"):
        given = [key for key in ("height", "width") if getattr(config.task, key) is not None]
        if len(given) == 1:
            raise UserError(f"task.{given[0]}= alone is not enough: give both task.height= and task.width=.")
    if task == "rehearse" and any(n > config.num_instances for n in config.task.objects):
        raise UserError(
            f"task.objects={config.task.objects}: a clip has at most num_instances={config.num_instances} objects."
        )
    _check_output(config)


def require_figure(task: str, optimize: str, ema: float | None) -> None:
    """UserError where `optimize` names no figure that the runs of a task will have; its default stands for none."""
    known = FIGURES_OF.get(task)
    if known is None or optimize == "AP":
        return
    if optimize not in known:
        plain = [name for name in known if not name.startswith("ema_")]
        same = [name for name in known if name.lower() == optimize.lower()]
        near = same or difflib.get_close_matches(optimize, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"these are {', '.join(plain)}."
        raise UserError(f"optimize={shortened(optimize)} is no figure of task={task}: {hint}")
    if optimize.startswith("ema_") and ema is None:
        raise UserError(f"optimize={optimize} needs averaged weights: set optimizer.ema=, such as 0.999.")


def _check_results(config: Config) -> None:
    require_file(config, "annotations", "the annotation file with the truth")
    require_file(config, "results", f"the results to {'score' if config.task.name == 'score' else 'look at'}")
    if config.task.name == "view":
        if config.dataset.annotations is not None:
            raise UserError("dataset.annotations= has no effect on task=view: the truth is annotations=.")
        if config.dataset.images is not None:
            require_folder(config, "dataset.images", "the folder of the videos' frames")


def _check_infer(config: Config) -> None:
    named = require(config, "input", "a video file, a folder of frames, a pattern or a YouTube-VIS file")
    if not named.exists() and not glob.glob(str(named), recursive=True):
        what = "no file matches it" if glob.has_magic(str(named)) else "there is no such file or folder"
        raise UserError(f"input={config.input}: {what}.")
    if config.dataset.images is not None:
        require_folder(config, "dataset.images", "the folder of the annotation file's frames")


def _check_train(config: Config) -> None:
    if config.resume is not None and config.init is not None:
        raise UserError("resume= and init= contradict each other: a resumed run has its own weights.")
    if config.init is not None:
        require_existing(config, "init", "the weights to start from")


def _check_checkpoint(config: Config) -> None:
    if config.task.name == "benchmark" and config.checkpoint is None:
        return
    require_existing(config, "checkpoint", "the checkpoint, or a run's folder")


def _check_output(config: Config) -> None:
    task = config.task.name
    choices = FORMATS.get(task, ())
    if config.format is not None and config.format not in choices:
        raise UserError(f"format={config.format} is not one of task={task}'s: {', '.join(choices)}.")
    if task in ("convert", "average"):
        output = require(config, "output", "the file to write, <name>.safetensors")
        if output.suffix != ".safetensors":
            raise UserError(f"output={output} must end in .safetensors, which is what task={task} writes.")
    if config.output is not None and Path(config.output).exists():
        raise UserError(f"output={config.output} exists already: give another name, or remove it first.")


def require_existing(config: Config, key: str, what: str) -> None:
    """UserError where the key names neither a file or folder that exists nor an address."""
    value = require(config, key, what)
    if not is_remote(value) and not value.exists():
        raise UserError(f"{key}={value} does not exist: there is no such file or folder ({what}).")


def require_file(config: Config, key: str, what: str) -> None:
    """UserError where the key names no file that exists, nor an address."""
    value = require(config, key, what)
    if not is_remote(value) and not value.is_file():
        wrong = "this is a folder, name the file in it" if value.is_dir() else "there is no such file"
        raise UserError(f"{key}={value}: {wrong} ({what}).")


def require_folder(config: Config, key: str, what: str) -> None:
    """UserError where the key names no folder that exists."""
    value = require(config, key, what)
    if not value.is_dir():
        raise UserError(f"{key}={value}: there is no such folder ({what}).")


def require(config: Config, key: str, what: str) -> Path:
    """The path a key names; UserError where it is not set."""
    value = attrgetter(key)(config)
    section = config.dataset.name if key.startswith("dataset.") else config.task.name
    group = "dataset" if key.startswith("dataset.") else "task"
    if not value:
        raise UserError(f"{group}={section} needs {key}=, {what}.")
    return Path(value)
