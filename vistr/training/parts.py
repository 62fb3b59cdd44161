"""The parts of a training that a configuration describes: its clips and its optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np

from vistr.config import Config
from vistr.config.evaluation_sizes import clip_sizes
from vistr.data.clip_sources import ClipSource, VideoClips
from vistr.data.clips import Batch
from vistr.data.loader import ClipLoader
from vistr.data.mixture import Mixture
from vistr.data.picture_clips import PictureClips
from vistr.data.readers import reader_of
from vistr.data.settings import Dataset
from vistr.data.videos import VideoSet
from vistr.layers.dropout import Noise, noise_pool, path_factors
from vistr.models.vistr import VisTR
from vistr.runtime import system
from vistr.runtime.device import use_device
from vistr.runtime.parallel import Ranks, num_local_ranks
from vistr.training.optimizer import AdamW
from vistr.training.step import TrainingStep


def make_optimizer(config: Config, model: VisTR, step: TrainingStep, ranks: Ranks | None = None) -> AdamW:
    """The optimizer of the step's parameters, its moments zero; it sums the gradients of the ranks."""
    return AdamW(
        step.parameters,
        config.optimizer,
        ema=config.training.ema,
        graphs=model.graphs,
        ranks=ranks,
        no_decay=config.backbone.no_decay,
    )


def step_noise(config: Config, num_images: int, draw: int) -> Noise:
    """What drops out in a step on `num_images` frames: a function of the seed and the number of the draw alone."""
    rate, rates = config.transformer.dropout, np.array(config.backbone.branch_rates)
    return Noise(
        noise_pool(rate, config.seed, draw) if rate > 0 else None,
        path_factors(rates, num_images, config.seed, draw) if rates.any() else None,
    )


def default_workers() -> int:
    """Threads that load clips: the cores that are this process's share of the machine, but one; 1 to 8."""
    cores = system.available_cores() // num_local_ranks()
    return min(max(cores - 1, 1), 8)


def make_loader(
    config: Config, videos: Mapping[str, VideoSet], ranks: Ranks | None = None, batch_size: int | None = None
) -> ClipLoader:
    """Shuffled, augmented clips of the training videos of every dataset, or this rank's share of them."""
    dataset = config.dataset
    sources = {name: clips_of(config, dataset.by_name[name], video_set) for name, video_set in videos.items()}
    clips = Mixture(sources, dataset.ratios, seed=config.seed, epoch_clips=dataset.epoch_clips)
    return ClipLoader(
        clips if dataset.parts else next(iter(sources.values())),
        batch_size=batch_size or config.training.batch_size,
        seed=config.seed,
        num_workers=default_workers() if dataset.num_workers is None else dataset.num_workers,
        shuffle=True,
        shard=(ranks or Ranks()).shard,
        # A GPU's graphs are compiled before the first step, for full batches.
        drop_last=use_device(config.device.target, config.device.id) == "GPU",
    )


def clips_of(config: Config, dataset: Dataset, videos: VideoSet) -> ClipSource:
    """The clips of a dataset's training videos, or those made of its pictures, augmented as it says."""
    settings: dict[str, Any] = {
        "num_frames": config.num_frames,
        "augmentation": dataset.augmentation,
        "short_side": dataset.short_side,
        "long_side": dataset.long_side,
        "size_divisor": dataset.size_divisor,
        "sizes": clip_sizes(config, dataset),
    }
    if reader_of(dataset).pictures:
        return PictureClips(videos, motion=dataset.motion, **settings)
    return VideoClips(videos, **settings)


def first_batch(loader: ClipLoader) -> Batch:
    """The first clips of a training."""
    return next(first_batches(loader, 1))


def first_batches(loader: ClipLoader, count: int) -> Iterator[Batch]:
    """The first `count` batches of a training, or all of its first epoch."""
    with closing(loader.epoch(0)) as batches:
        yield from islice(batches, count)
