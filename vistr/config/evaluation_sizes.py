"""At which sizes videos are evaluated, by which rule, and what clips are padded to."""

from __future__ import annotations

from typing import NamedTuple

from vistr.config.schema import Config
from vistr.data.buckets import Size, few_sizes
from vistr.data.readers import is_generated
from vistr.data.settings import Dataset
from vistr.models.backbones import BACKBONES, ResNet

# The original's inference: every backbone, any length of the other side.
ORIGINAL_SHORT_SIDE = 300


class EvaluationSize(NamedTuple):
    """Pixels of the short side, less where the long side would pass its limit (None: there is none); and why."""

    short_side: int
    long_side: int | None
    rule: str

    def __str__(self) -> str:
        limit = "any long side" if self.long_side is None else f"a long side of at most {self.long_side}"
        return f"a short side of {self.short_side} and {limit} ({self.rule})"


def original_training_size(backbone: str) -> tuple[int, int]:
    """(short side, most of the long side) that the original trains a backbone at, pixels."""
    known = BACKBONES.get(backbone, ResNet())
    return known.short_side, known.long_side


def evaluation_size(config: Config) -> EvaluationSize:
    """The size for evaluation and task=infer.

    What dataset.eval_short_side and dataset.eval_long_side say. Where they say nothing: generated videos keep their
    size, a network trained at other sizes than the original's is evaluated at those, and all others as the original's.
    """
    dataset = config.dataset.evaluated_part
    trained = (dataset.short_side, dataset.long_side)
    if dataset.eval_short_side is not None:
        return EvaluationSize(dataset.eval_short_side, dataset.eval_long_side, "dataset.eval_short_side=")
    if is_generated(dataset.name):
        short, long, rule = *trained, "the size of generated videos"
    elif trained != original_training_size(config.backbone.name):
        short, long, rule = *trained, "the size of training"
    else:
        return EvaluationSize(ORIGINAL_SHORT_SIDE, dataset.eval_long_side, "the original's inference")
    return EvaluationSize(short, dataset.eval_long_side or long, rule)


def clip_sizes(config: Config, training: Dataset | None = None) -> tuple[Size, ...]:
    """The few sizes that clips are padded to, none where they are padded to multiples of dataset.size_divisor.

    Those of `training` on a dataset, or one of a mixture's parts; those of evaluation without one.
    """
    from vistr.runtime.device import use_device  # it imports MindSpore, which composing does not need

    dataset, device = training or config.dataset.evaluated_part, config.device
    if not (dataset.few_sizes or (dataset.few_sizes is None and use_device(device.target, device.id) == "GPU")):
        return ()
    if training is None:
        return few_sizes(None, *evaluation_size(config)[:2], dataset.size_divisor)
    return few_sizes(dataset.augmentation, dataset.short_side, dataset.long_side, dataset.size_divisor)
