"""A network small enough to compile in seconds, with weights that leave nothing at zero, and clips for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mindspore as ms
import numpy as np

from tests import reference
from vistr.config import Config, Transformer
from vistr.data.clips import Batch, ClipTargets
from vistr.losses.settings import Loss
from vistr.models.backbones import BACKBONES, Layout, Swin, add_resnet, register
from vistr.models.build import build_model
from vistr.models.vistr import VisTR
from vistr.runtime.backend import Backend
from vistr.runtime.device import use_device
from vistr.training.step import TrainingStep
from vistr.weights import load_torch_state_dict
from vistr.weights.names import torch_name, torch_shape

# Operators run one after the other: threads that wait for each other in loops take ten times as long. Said before any
# operator runs.
ms.runtime.launch_blocking()

add_resnet("tiny", Layout((1, 1, 1, 1)))
register(Swin("tiny_swin", embed_dim=32, depths=[2, 1, 1, 1], window=3, drop_path=0.5))
NUM_FRAMES, NUM_INSTANCES, NUM_CATEGORIES = 2, 3, 4
HEIGHT, WIDTH = 32, 64


def config(kind: type[Transformer] = Transformer, **changes: Any) -> Config:
    """One encoder and two decoder layers of 96 channels behind a ResNet of 12 convolutions, or the backbone `name`.

    `changes` are keys of the configuration or of its backbone and transformer, which is of that `kind`.
    """
    backbone: dict[str, Any] = {"name": "tiny"}
    transformer: dict[str, Any] = {
        "hidden_dim": 96,
        "num_heads": 2,
        "num_encoder_layers": 1,
        "num_decoder_layers": 2,
        "feedforward_dim": 32,
    }
    root: dict[str, Any] = {"num_frames": NUM_FRAMES, "num_instances": NUM_INSTANCES, "seed": 7}
    option = BACKBONES[changes.get("name", "tiny")]
    for key, value in changes.items():
        owner = next((s for s, of in ((backbone, option), (transformer, kind)) if hasattr(of, key)), root)
        owner[key] = value
    return Config(backbone=replace(option, **backbone), transformer=kind(**transformer), **root)


def build(kernels: Backend | None = None, **changes: Any) -> VisTR:
    """The network of `config` as it is drawn."""
    use_device("cpu")
    return build_model(config(**changes), NUM_CATEGORIES, kernels)


def model(kernels: Backend | None = None, **changes: Any) -> VisTR:
    """The network of `config`, with the reference weights of its size; `kernels` where not the CPU's."""
    network = build(kernels, **changes)
    load_torch_state_dict(network, state_dict(network))
    return network


def state_dict(network: VisTR) -> dict[str, np.ndarray]:
    """Reference weights for every parameter, by the original's names."""
    shapes = {torch_name(p.name): torch_shape(p.name, tuple(p.shape)) for p in network.get_parameters()}
    return {name: reference.weight(name, shape) for name, shape in shapes.items()}


def training_step(network: VisTR, *, aux_losses: bool = True) -> TrainingStep:
    """A step with the paper's losses."""
    return TrainingStep(network, Loss(aux_losses=aux_losses))


def clip(seed: int, num_objects: int, num_frames: int = NUM_FRAMES, pad_width: int = 0) -> Batch:
    """A batch of one clip; with padding the last `pad_width` columns are none of the picture."""
    images, padding = reference.clip(seed, num_frames, HEIGHT, WIDTH, 0, pad_width)
    truth = reference.targets(seed + 1, num_frames, HEIGHT, WIDTH, num_objects, num_frames > 1)
    truth.labels = 1 + truth.labels % NUM_CATEGORIES
    return Batch(images[None], padding[None], [truth])


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of all clips of several."""
    return Batch(
        np.concatenate([b.frames for b in batches]),
        np.concatenate([b.padding for b in batches]),
        [target for b in batches for target in b.targets],
    )


def no_targets(like: ClipTargets) -> ClipTargets:
    """The targets of a clip that shows no object."""
    num_frames, height, width = like.masks.shape[1:]
    return ClipTargets(
        np.zeros(0, np.int64),
        np.zeros((0, num_frames, 4), np.float32),
        np.zeros((0, num_frames), bool),
        np.zeros((0, num_frames, height, width), np.uint8),
        like.video_id,
        like.frames,
        like.size,
        like.original_size,
    )


def eager(owner: VisTR | TrainingStep) -> Any:
    """The same network or step with its compiled functions as plain Python: slower to run, nothing to compile."""
    for part in (owner, owner.masks) if isinstance(owner, TrainingStep) else (owner,):
        for name, value in list(vars(part).items()):
            if name.startswith("run_"):
                setattr(part, name, value.__wrapped__)
    return owner
