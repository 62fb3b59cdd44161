"""The reference numbers in tests/data/model, and the weights, clips and targets they were computed from.

The original PyTorch VisTR gave the numbers (CPU, float32, dropout off, its issue 80 corrected). What it was fed is
made anew here from seeds: NumPy's frozen `RandomState` draws the same arrays on every version.
"""

from __future__ import annotations

import gzip
import json
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vistr.config import Config, Device, ResNet
from vistr.data.clips import Batch, ClipTargets
from vistr.models.build import build_model
from vistr.models.vistr import VisTR
from vistr.training.step import StepResult, TrainingStep
from vistr.weights import load_torch_state_dict
from vistr.weights.names import torch_name

FOLDER = Path(__file__).parent / "data/model"
# Ours for the original's "loss_<name>".
LOSS_NAMES = {"ce": "class", "bbox": "box", "giou": "giou", "mask": "mask", "dice": "dice"}


@lru_cache
def read_archive(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(gzip.decompress((FOLDER / name).read_bytes()))
    return content


def expected(case: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A case's settings and numbers, and its arrays."""
    return read_archive("references.json.gz")[case], dict(np.load(FOLDER / f"{case}.npz"))


def golden(name: str) -> dict[str, np.ndarray]:
    """The arrays of a file of tests/data/model."""
    return dict(np.load(FOLDER / f"{name}.npz"))


def original_shapes(backbone: str, num_frames: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the original's state dict for "r50" or "r101"; 10 queries a frame."""
    shapes = read_archive("state_dict_manifest.json.gz")[backbone.replace("r", "resnet")]
    return {n: tuple(s) for n, s in shapes.items()} | {"vistr.query_embed.weight": (10 * num_frames, 384)}


def network(settings: dict[str, Any], device: str = "cpu") -> VisTR:
    """A case's network with the reference weights."""
    backbone = settings["backbone"].replace("resnet", "r")
    config = Config(num_frames=settings["T"], backbone=ResNet(name=backbone), device=Device(target=device))
    built = build_model(config)
    shapes = original_shapes(backbone, settings["T"])
    load_torch_state_dict(built, {name: weight(name, shape) for name, shape in shapes.items()})
    return built


def gradient_norms(step: TrainingStep, result: StepResult) -> dict[str, float]:
    """The norm of every parameter's gradient, by the original's names."""
    return {
        torch_name(p.name): float(np.linalg.norm(g.asnumpy().astype(np.float64)))
        for p, g in zip(step.parameters, result.gradients, strict=True)
    }


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of the original's entry `name`: seeded by the name, scaled by what the entry is."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    kind = name.rpartition(".")[2]
    if kind == "running_var":
        return rng.uniform(0.6, 1.4, shape).astype(np.float32)
    noise = rng.standard_normal(shape)
    if kind == "running_mean":
        noise *= 0.1
    elif "conv_offset" in name:
        noise *= 0.15 if kind == "weight" else 0.6
    elif len(shape) > 1:
        is_linear = any(part in name for part in ("vistr.transformer", "embed", "linear"))
        noise *= np.sqrt((1.0 if is_linear else 2.0) / np.prod(shape[1:]))
        if name.endswith("query_embed.weight"):
            noise = rng.standard_normal(shape)  # the second draw, as it was made then
    elif kind == "weight":
        noise = (0.3 if ".bn3." in name else 1.0) * (1 + 0.1 * noise)
    else:
        noise *= 0.05
    return noise.astype(np.float32)


def batch(case: dict[str, Any]) -> Batch:
    """The case's clip with its targets."""
    images, padding = clip(case["seed"], case["T"], case["H"], case["W"], *case["pad"])
    truth = targets(case["seed"] + 1, case["T"], case["H"], case["W"], case["ninst"], case["absent"])
    return Batch(images[None], padding[None], [truth])


def clip(
    seed: int, num_frames: int, height: int, width: int, pad_height: int = 0, pad_width: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Coarse blocks of 8 pixels under fine noise `[T, 3, H, W]`, and padding below and on the right."""
    rng = np.random.RandomState(seed)
    blocks = rng.standard_normal((num_frames, 3, height // 8, width // 8)).astype(np.float32)
    fine = rng.standard_normal((num_frames, 3, height, width)).astype(np.float32)
    images = blocks.repeat(8, 2).repeat(8, 3) + np.float32(0.1) * fine
    padding = np.ones((num_frames, height, width), bool)
    padding[:, : height - pad_height, : width - pad_width] = False
    return np.where(padding[:, None], np.float32(0), images), padding


def targets(seed: int, num_frames: int, height: int, width: int, num_objects: int, last_absent: bool) -> ClipTargets:
    """Rectangles that drift; with `last_absent` the first one is gone in the last frame."""
    rng = np.random.RandomState(seed)
    boxes = np.zeros((num_objects, num_frames, 4))
    labels = np.zeros(num_objects, np.int64)
    for i in range(num_objects):
        centre, extent = rng.uniform(0.3, 0.7, 2), rng.uniform(0.2, 0.5, 2)
        drift = rng.uniform(-0.04, 0.04, 2)
        labels[i] = rng.randint(1, 41)
        boxes[i, :, :2] = centre + drift * np.arange(num_frames)[:, None]
        boxes[i, :, 2:] = extent
    valid = np.ones((num_objects, num_frames), bool)
    if last_absent and num_objects:
        valid[0, -1] = False
        boxes[0, -1] = 0
    low, high = boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2
    corners = (np.concatenate([low, high], -1) * (width, height, width, height)).astype(int)
    masks = np.zeros((num_objects, num_frames, height, width), np.uint8)
    for (i, t), seen in np.ndenumerate(valid):
        if seen:
            left, top, right, bottom = corners[i, t]
            masks[i, t, max(top, 0) : bottom, max(left, 0) : right] = 1
    size = (height, width)
    return ClipTargets(labels, boxes.astype(np.float32), valid, masks, 0, list(range(num_frames)), size, size)


def targets_of(arrays: dict[str, np.ndarray], num_frames: int) -> ClipTargets:
    """The targets of a criterion case, whose arrays are object by object."""
    valid = arrays["target_valid"].reshape(-1, num_frames).astype(bool)
    masks = arrays["target_masks"]
    size = (masks.shape[1], masks.shape[2])
    return ClipTargets(
        arrays["target_labels"].reshape(-1, num_frames).max(1),
        arrays["target_boxes"].reshape(-1, num_frames, 4),
        valid,
        masks.reshape(-1, num_frames, *size),
        0,
        list(range(num_frames)),
        size,
        size,
    )
