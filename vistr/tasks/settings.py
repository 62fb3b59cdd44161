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
from typing import TYPE_CHECKING, ClassVar, TypeVar

from vistr.errors import UserError, shortened
from vistr.files import require_file, require_folder
from vistr.hub import is_remote
from vistr.knobs import knob
from vistr.text.folder_names import end_of

if TYPE_CHECKING:
    from vistr.config import Config

AnyTask = TypeVar("AnyTask", bound="Task")
OFFICIAL = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
EVALUATED = (*OFFICIAL, "frames_per_second_with_loading")
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}_")
# What to set instead of a key that another task has.
_TO_TRAIN = "train with init= to start from its weights, or with resume= to go on with a run"
_TO_START = "the weights to start from are init=, those to evaluate checkpoint=, the data is dataset="
_OF_DATASET = "a dataset's own files are dataset.annotations= and dataset.images="


@dataclass
class Task:
    """Settings of every task. The first line of its docstring is its line in `--help`."""

    figures: ClassVar[tuple[str, ...]] = ()
    """Figures that its runs can be ranked by; none: it has no figures of its own."""

    name: str = ""

    @classmethod
    def of(cls: type[AnyTask], config: Config) -> AnyTask:
        """The task's settings in a configuration. Raises TypeError where it is that of another task."""
        if not isinstance(config.task, cls):
            raise TypeError(f"the configuration is one of task={config.task.name}")
        return config.task

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError for inputs that are lacking or not there, or that contradict the rest of the run."""

    def reads_dataset(self, config: Config) -> bool:
        """Whether it reads the videos that `dataset=` names, beside the size of clips."""
        return False

    def run_name(self) -> str | None:
        """First part of the name of its run's folder; None: the dataset, the backbone and num_frames."""
        return None


@dataclass
class FromCheckpoint(Task):
    """Settings of tasks that take a checkpoint."""

    checkpoint: str = knob("", path="one", instead=_TO_TRAIN)

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where there is no such checkpoint."""
        require(self, "checkpoint", "the checkpoint, or a run's folder", exists="any")

    def run_name(self) -> str | None:
        """The name of the run that the checkpoint came from, then the file's own."""
        return checkpoint_name(Path(self.checkpoint))


@dataclass
class Sized(Task):
    """Settings of tasks that choose the size of frames."""

    height: int | None = knob(None, at_least=32, unit="pixels")  # null: the clip size, dataset.short_side x
    width: int | None = knob(None, at_least=32, unit="pixels")  # dataset.long_side

    def check(self, at: str) -> None:
        """Raise a UserError where one side alone is given."""
        given = [key for key in ("height", "width") if getattr(self, key) is not None]
        if len(given) == 1:
            raise UserError(f"{at}.{given[0]}= alone is not enough: give both {at}.height= and {at}.width=.")

    def frame_size(self, config: Config) -> tuple[int, int]:
        """Height and width of the frames."""
        dataset = config.dataset.evaluated_part
        return self.height or dataset.short_side, self.width or dataset.long_side


@dataclass
class Evaluating(Task):
    """Settings of tasks that evaluate a network."""

    num_pictures: int = knob(4, at_least=0)  # videos drawn beside their truth
    min_score: float = knob(0.0, at_least=0, at_most=1)  # tracks below are left out of the results

    def reads_dataset(self, config: Config) -> bool:
        """It does."""
        return True


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
    input: str = knob(
        "",
        path="one",
        instead=_TO_START,
    )
    min_score: float = knob(0.3, at_least=0, at_most=1)  # tracks below are left out
    max_tracks: int | None = knob(None, at_least=1)  # keep at most so many tracks of a video, the best ones
    categories: list[str] = knob([])  # [person,dog]: keep only these; []: all the checkpoint knows
    overlay: bool = True  # draw the video, a contact sheet and the report; false: results.json and tracks.csv alone
    # Of the drawn video; null: the file's own, or 10 for a folder of frames.
    frames_per_second: float | None = knob(None, more_than=0, needs=("overlay", bool))

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where there is nothing to search, or to search it with."""
        super().check_inputs(config)
        named = require(self, "input", "a video file, a folder of frames, a pattern or a YouTube-VIS file")
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
        require(self, "annotations", "the annotation file with the truth", exists="file")
        require(self, "results", "the results file", exists="file")

    def run_name(self) -> str | None:
        """The results."""
        return end_of(self.results)


@dataclass
class View(Score):
    """anyone's results beside the truth, as pages; without results the training clips of dataset="""

    figures = ()

    name: str = "view"
    num_videos: int | None = knob(20, at_least=1)  # videos that get a page, half the worst, half the best; null: all
    min_score: float = knob(0.1, at_least=0, at_most=1)  # predictions below are left out

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
        require(self, "runs", "folders of runs, or patterns such as outputs/sweeps/*, separated by commas")

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
            require(self, "checkpoint", "the checkpoint, or a run's folder", exists="any")

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
        require(self, "input", "the weights to convert", exists="any")
        require_output(self, self.output)

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
        require(self, "input", "a run's folder, or a pattern that several checkpoints match")
        require_output(self, self.output)

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


# os.path says no for a name that is too long, or that lies where we may not look; Path raises.
def require(task: Task, key: str, what: str, *, exists: str = "") -> Path:
    """The path that a task needs; UserError where it is not given, or is no "file", or "any" file or folder."""
    value: str = getattr(task, key)
    if not value:
        raise UserError(f"task={task.name} needs {key}=, {what}.")
    path = Path(value)
    if exists == "any" and not (is_remote(value) or os.path.exists(path)):
        raise UserError(f"{key}={shortened(value)} does not exist: there is no such file or folder ({what}).")
    if exists == "file" and not is_remote(value):
        require_file(key, value, what)
    return path


def require_output(task: Task, output: str) -> None:
    """UserError where the file of weights to write is not named, named otherwise, or there."""
    path = require(task, "output", "the file to write, <name>.safetensors")
    if path.suffix != ".safetensors":
        raise UserError(f"output={shortened(output)} must end in .safetensors, which is what task={task.name} writes.")
    require_new(output)


def require_new(output: str) -> None:
    """UserError where the file to write exists."""
    if os.path.exists(output):
        raise UserError(f"output={shortened(output)} exists already: give another name, or remove it first.")


def require_images(config: Config, what: str) -> None:
    """UserError where dataset.images= names no folder."""
    if config.dataset.images is not None:
        require_folder("dataset.images", config.dataset.images, what)


def checkpoint_name(checkpoint: Path) -> str:
    """The name of the run a checkpoint came from, then the file's own; a run's folder is the run alone."""
    if _DATE.match(checkpoint.name):
        return _DATE.sub("", checkpoint.name)
    for folder in checkpoint.parents:
        if _DATE.match(folder.name):
            return f"{_DATE.sub('', folder.name)}_{checkpoint.stem}"
    return checkpoint.stem


TASKS: dict[str, Task] = {
    kind.name: kind()
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Task) and vars(kind).get("name")
}
"""Every task by its name, with the settings that `task=<name>` stands for."""
