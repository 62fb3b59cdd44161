"""A whole run's settings: those of its parts (each beside the code that takes them) and its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vistr.data.settings import MAX_SEED, Augmentation, Dataset
from vistr.knobs import keys_with, knob
from vistr.losses.settings import Loss
from vistr.models.backbones import BACKBONES, Backbone, ResNet
from vistr.models.settings import SEQUENCE_HEADS, TRANSFORMERS, Transformer
from vistr.runtime.settings import Device
from vistr.tasks.settings import TASKS, Task, Train
from vistr.training.settings import SCHEDULES, Optimizer, Schedule, StepSchedule, Training


@dataclass
class Config:
    """One run. `run_dir` (its folder) and `overrides` (what was typed) are filled in when it is composed."""

    num_frames: int = knob(36, at_least=1)  # frames of a clip
    # Slots, the most objects found in a clip: dataset.num_instances unless it is set, 10 as the paper or 20 for ovis.
    num_instances: int = knob(10, at_least=1)
    # 3-D convolutions: dilated (3x3x3, the paper) | dense (5x5x5, an older MindSpore port).
    sequence_head: str = knob("dilated", choices=tuple(SEQUENCE_HEADS))
    seed: int = knob(42, at_least=0, at_most=MAX_SEED)  # initial weights, data order, augmentation, dropout
    resume: str | None = knob(None, path="one")  # task=train: the run to go on with, or one of its checkpoints
    # task=train: weights to start from: a file of any format, a run's folder, or hf://owner/name/file.
    init: str | None = knob(None, path="one")
    optimize: str = "AP"  # the figure runs are ranked by, and a sweep's search is after
    direction: str = knob("maximize", choices=("maximize", "minimize"))
    outputs: str = knob("outputs", path="one")  # every run gets its own folder in here
    run_dir: str | None = None  # that folder
    overrides: list[str] = field(default_factory=list)  # what was typed
    backbone: Backbone = field(default_factory=ResNet)
    transformer: Transformer = field(default_factory=Transformer)
    dataset: Dataset = field(default_factory=Dataset)
    loss: Loss = field(default_factory=Loss)
    training: Training = field(default_factory=Training)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=StepSchedule)
    task: Task = field(default_factory=Train)
    device: Device = field(default_factory=Device)

    @property
    def folder(self) -> Path:
        """The run's folder. Raises ValueError for a configuration that is not a run's."""
        if self.run_dir is None:
            raise ValueError("the configuration has no run_dir")
        return Path(self.run_dir)


# The options of the groups that are no files in conf/.
OPTIONS: dict[str, dict[str, Any]] = {
    "backbone": BACKBONES,
    "transformer": TRANSFORMERS,
    "dataset/augmentation": {"paper": Augmentation},
    "loss": {"paper": Loss},
    "training": {"paper": Training},
    "optimizer": {"adamw": Optimizer},
    "schedule": SCHEDULES,
    "task": TASKS,
    "device": {"auto": Device},
}
# Options' keys that follow from others unless they are set.
FOLLOWING = {("schedule", "step"): {"drop_epoch": "${two_thirds:${training.epochs}}"}}
# The sections whose options are of several classes, each with its own keys; `name` says which.
POLYMORPHIC = ("backbone", "transformer", "schedule", "task")

# Those of them of which a study may set keys that the option typed beside it does not have: they mean nothing then.
OVERLAID = ("schedule", "task")


def section_class(section: str, name: Any) -> type:
    """The class of a polymorphic section by the `name` in it; the default one for a name that is not known."""
    options = (option for option in OPTIONS[section].values() if option.name == name)
    return type(next(options, getattr(Config(), section)))


# Keys that hold a path of the user's: relative to where he stands, and never part of a run's name.
PATH_KEYS = tuple(dict.fromkeys(key for key, kind in keys_with(Config, "path") if kind != "table"))
# Those of them that hold several, separated by commas.
PATH_LIST_KEYS = tuple(key for key, kind in keys_with(Config, "path") if kind == "several")


def is_path(key: str) -> bool:
    """Whether a dotted key, of a mixture's part too, holds a path of the user's."""
    return re.sub(r"^dataset\.parts\.[^.]+\.", "dataset.", key) in PATH_KEYS
