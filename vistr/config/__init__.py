"""Every knob of a run: its schema, its checks, and how overrides become a configuration."""

from vistr.config.schema import PATH_KEYS, Config
from vistr.data.settings import Augmentation, Dataset
from vistr.losses.settings import Loss
from vistr.models.backbones import Backbone, ResNet
from vistr.models.settings import Transformer
from vistr.runtime.settings import Device
from vistr.tasks.settings import Task
from vistr.training.settings import Optimizer, Schedule, Training

__all__ = [
    "PATH_KEYS",
    "Augmentation",
    "Backbone",
    "Config",
    "Dataset",
    "Device",
    "Loss",
    "Optimizer",
    "ResNet",
    "Schedule",
    "Task",
    "Training",
    "Transformer",
]
