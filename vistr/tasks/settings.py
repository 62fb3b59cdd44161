"""The tasks: what each needs, its settings, and the figures its runs can be ranked by.

A task is a class here and a module of this room by its name, with `run(config)`.
"""

# ruff: noqa: RUF009 (knob makes a field)
from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from vistr.errors import UserError, shortened
from vistr.hub import is_remote
from vistr.knobs import knob
from vistr.tasks.base import Evaluating, FromCheckpoint, Sized, Task, checkpoint_name, require_images, require_new
from vistr.text.folder_names import end_of

if TYPE_CHECKING:
    from vistr.config import Config

__all__ = ["TASKS", "Evaluating", "Task"]
OFFICIAL = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
EVALUATED = (*OFFICIAL, "frames_per_second_with_loading")
# What to set instead of a key that another task has.
_TO_START = "the weights to start from are init=, those to evaluate checkpoint=, the data is dataset="
_OF_DATASET = "a dataset's own files are dataset.annotations= and dataset.images="


@dataclass
class Train(Evaluating):
    """train, evaluating after every epoch (the default)"""

    figures = (
        *EVALUATED,
        *(f"ema_{name}" for name in EVALUATED),
        *("loss", "clips_per_second", "memory_gb", "steps", "million_parameters"),
    )

    name: str = "train"
    log_every: int = knob(10, at_least=1)  # steps
    evaluate_every: int = knob(1, at_least=1)  # epochs
    checkpoint_every: int = knob(1, at_least=1)  # epochs
    save_minutes: float = knob(10.0, at_least=0)  # last.safetensors is also written this often

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where the weights to start from are not there, or are two."""
        if config.resume is not None and config.init is not None:
            raise UserError("resume= and init= contradict each other: a resumed run has its own weights.")
        if config.init is not None and not (is_remote(config.init) or os.path.exists(config.init)):
            raise UserError(f"init={shortened(config.init)} does not exist: there is no such file or folder.")


@dataclass
class Evaluate(Evaluating, FromCheckpoint):
    """official AP of a checkpoint on a dataset, with results.json and pictures"""

    figures = EVALUATED

    name: str = "evaluate"


@dataclass
class Infer(FromCheckpoint):
    """tracks of any video: results, a drawn video, a page that plays them"""

    figures = ("frames", "tracks")

    name: str = "infer"
    # A video file, a folder of frames, a pattern, or a YouTube-VIS file.
    input: str = knob("", path="one", instead=_TO_START)
    min_score: float = knob(0.3, at_least=0, at_most=1)  # tracks below are left out
    max_tracks: int | None = knob(None, at_least=1)  # keep at most so many tracks of a video, the best ones
    categories: list[str] = knob([])  # [person,dog]: keep only these; []: all the checkpoint knows
    overlay: bool = True  # draw the video, a contact sheet and the report; false: results.json and tracks.csv alone
    # Of the drawn video; null: the file's own, or 10 for a folder of frames.
    frames_per_second: float | None = knob(None, more_than=0, needs=("overlay", bool))

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where the input, the checkpoint or the folder of frames is missing."""
        super().check_inputs(config)
        named = self.require("input", "a video file, a folder of frames, a pattern or a YouTube-VIS file")
        if not os.path.exists(named) and not glob.glob(str(named), recursive=True):
            what = "no file matches it" if glob.has_magic(str(named)) else "there is no such file or folder"
            raise UserError(f"input={shortened(self.input)}: {what}.")
        require_images(config, "the folder of the annotation file's frames")

    def run_name(self) -> str | None:
        """The input and the checkpoint."""
        return f"{end_of(self.input)}_{super().run_name()}"


@dataclass
class Score(Task):
    """official AP of anyone's results"""

    figures: ClassVar[tuple[str, ...]] = OFFICIAL

    name: str = "score"
    annotations: str = knob("", path="one", instead=_OF_DATASET)
    results: str = knob("", path="one", instead=_OF_DATASET)

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where truth or results are not there."""
        self.require("annotations", "the annotation file with the truth", exists="file")
        self.require("results", "the results file", exists="file")

    def run_name(self) -> str | None:
        """The results."""
        return end_of(self.results)


@dataclass
class View(Score):
    """anyone's results beside the truth, as pages; without results the training clips of dataset="""

    figures = ()

    name: str = "view"
    num_videos: int | None = knob(20, at_least=1)  # videos that get a page, half the worst, half the best; null: all
    # Predictions below are left out.
    min_score: float = knob(0.1, at_least=0, at_most=1, needs=("results", bool))

    def reads_dataset(self, config: Config) -> bool:
        """Where neither truth nor results are named, but a dataset, or a study with one, is."""
        typed = any(re.match(r"\+*(dataset|experiments?)[=@]", override) for override in config.overrides)
        return typed and not self.annotations and not self.results

    def run_name(self) -> str | None:
        """The results; of clips as a training of them."""
        return super().run_name() if self.results else None

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where truth, results or frames are not there."""
        if self.reads_dataset(config):
            return
        super().check_inputs(config)
        if config.dataset.annotations is not None:
            raise UserError("dataset.annotations= has no effect on task=view: the truth is annotations=.")
        require_images(config, "the folder of the videos' frames")


@dataclass
class Compare(Task):
    """runs side by side"""

    name: str = "compare"
    # Folders of runs; patterns such as outputs/sweeps/*, separated by commas.
    runs: str = knob("", path="several", instead="it names the folders of runs")

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where no runs are named."""
        self.require("runs", "folders of runs, or patterns such as outputs/sweeps/*, separated by commas")

    def run_name(self) -> str | None:
        """The first folder of runs."""
        return end_of(self.runs.partition(",")[0])


@dataclass
class Rehearse(Task):
    """memory and kernel launches on a GPU, found out without one"""

    name: str = "rehearse"
    objects: list[int] = knob([], at_least=1)  # [1,4,10]: objects in a clip; []: 1, 4 and num_instances
    height: int = knob(320, at_least=32, unit="pixels")  # rounded up to a multiple of dataset.size_divisor
    width: int = knob(544, at_least=32, unit="pixels")
    repeats: int = knob(3, at_least=1)  # warm steps of each measurement

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError for more objects than slots."""
        if any(n > config.num_instances for n in self.objects):
            slots = f"num_instances={config.num_instances}"
            raise UserError(f"task.objects={self.objects}: a clip has at most {slots} objects.")


@dataclass
class Benchmark(Sized):
    """time and memory on this machine"""

    figures = (
        *("frames_per_second", "frames_per_second_with_loading", "memory_gb"),
        *("clips_per_second", "training_memory_gb"),
    )
    reads = ("dataset.max_objects",)  # of the videos that it generates

    name: str = "benchmark"
    checkpoint: str | None = knob(None, path="one")  # null: random weights
    repeats: int = knob(5, at_least=1)  # warm runs of each measurement (at most 3 at a point of the sweep)
    training: bool = True  # also a training step
    sweep: bool = True  # also other num_frames and sizes, each in a process of its own
    # [12,24,36]; []: a third, two thirds and all of num_frames.
    sweep_frames: list[int] = knob([], at_least=1, needs=("sweep", bool))
    # [64,96], at the clip's aspect ratio; []: a half, three quarters and all of the height.
    sweep_heights: list[int] = knob([], at_least=32, unit="pixels", needs=("sweep", bool))
    limit_minutes: float = knob(10.0, more_than=0, needs=("sweep", bool))  # a point that takes longer is given up

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where there is no such checkpoint."""
        if self.checkpoint is not None:
            self.require("checkpoint", "the checkpoint, or a run's folder", exists="any")

    def run_name(self) -> str | None:
        """The checkpoint, if there is one."""
        return None if self.checkpoint is None else checkpoint_name(Path(self.checkpoint))


@dataclass
class Convert(Task):
    """weights from one format to another"""

    name: str = "convert"
    input: str = knob("", path="one")
    output: str = knob("", path="one", instead="a run's folder lies in outputs=")
    # null: a checkpoint of ours becomes original, anyone else's a checkpoint.
    format: str | None = knob(None, choices=("checkpoint", "original"), instead="it says what to write")

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where there are no such weights, or nowhere to write them."""
        self.require("input", "the weights to convert", exists="any")
        self.require_output()

    def run_name(self) -> str | None:
        """The weights."""
        return end_of(self.input)


@dataclass
class Inspect(FromCheckpoint):
    """what a file of weights holds"""

    name: str = "inspect"


@dataclass
class Average(Task):
    """the mean of several checkpoints"""

    name: str = "average"
    input: str = knob("", path="one")  # a run's folder, or a pattern that several checkpoints match
    output: str = knob("", path="one")

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where no checkpoints are named, or nowhere to write their mean."""
        self.require("input", "a run's folder, or a pattern that several checkpoints match")
        self.require_output()

    def run_name(self) -> str | None:
        """The checkpoints."""
        return end_of(self.input)


@dataclass
class Export(Sized, FromCheckpoint):
    """MINDIR or ONNX"""

    name: str = "export"
    output: str | None = knob(None, path="one")  # null: in the run's folder
    format: str | None = knob(None, choices=("mindir", "onnx"))  # null: mindir

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where there is no such checkpoint, or the file exists already."""
        super().check_inputs(config)
        if self.output is not None:
            require_new(self.output)


TASKS: dict[str, Task] = {
    kind.name: kind()
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Task) and vars(kind).get("name")
}
"""Every task by its name, with the settings that `task=<name>` stands for."""
