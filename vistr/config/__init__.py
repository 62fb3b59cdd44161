"""Every knob of a run: its schema, its checks, and how overrides become a configuration."""

from vistr.config.schema import (
    PATH_KEYS,
    Augmentation,
    Backbone,
    Config,
    Dataset,
    Device,
    Loss,
    Optimizer,
    Task,
    Transformer,
)

__all__ = [
    "PATH_KEYS",
    "Augmentation",
    "Backbone",
    "Config",
    "Dataset",
    "Device",
    "Loss",
    "Optimizer",
    "Task",
    "Transformer",
]
