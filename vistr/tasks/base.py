"""What the tasks have in common: their base classes, and the checks of their inputs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from vistr.errors import UserError, shortened
from vistr.files import require_file, require_folder
from vistr.hub import is_remote
from vistr.knobs import knob

if TYPE_CHECKING:
    from vistr.config import Config

AnyTask = TypeVar("AnyTask", bound="Task")
# What to set instead of a key that another task has.
_TO_TRAIN = "train with init= to start from its weights, or with resume= to go on with a run"
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}_")


@dataclass
class Task:
    """Settings of every task. The first line of its docstring is its line in `--help`."""

    figures: ClassVar[tuple[str, ...]] = ()
    """Figures that its runs can be ranked by; none: it has no figures of its own."""
    reads: ClassVar[tuple[str, ...]] = ()
    """Keys of the dataset that have an effect on it whichever dataset is chosen."""

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

    def require(self, key: str, what: str, *, exists: str = "") -> Path:
        """The path in the field `key`; UserError where it is not given, or is no "file", or "any" file or folder."""
        value: str = getattr(self, key)
        if not value:
            raise UserError(f"task={self.name} needs {key}=, {what}.")
        path = Path(value)
        # os.path says no for a name that is too long, or that lies where we may not look; Path raises.
        if exists == "any" and not (is_remote(value) or os.path.exists(path)):
            raise UserError(f"{key}={shortened(value)} does not exist: there is no such file or folder ({what}).")
        if exists == "file" and not is_remote(value):
            require_file(key, value, what)
        return path

    def require_output(self) -> None:
        """UserError where the file of weights to write is not named, named otherwise, or there."""
        path = self.require("output", "the file to write, <name>.safetensors")
        if path.suffix != ".safetensors":
            ending = f"must end in .safetensors, which is what task={self.name} writes"
            raise UserError(f"output={shortened(path)} {ending}.")
        require_new(str(path))


@dataclass
class FromCheckpoint(Task):
    """Settings of tasks that take a checkpoint."""

    checkpoint: str = knob("", path="one", instead=_TO_TRAIN)

    def check_inputs(self, config: Config) -> None:
        """Raise a UserError where there is no such checkpoint."""
        self.require("checkpoint", "the checkpoint, or a run's folder", exists="any")

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
