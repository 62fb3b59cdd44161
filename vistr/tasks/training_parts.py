"""The parts of a training that a configuration describes: clips, step, optimizer, schedule, plan."""

from __future__ import annotations

from contextlib import closing

from vistr.config import Config
from vistr.data.clips import Batch
from vistr.data.loader import ClipLoader
from vistr.data.videos import VideoSet
from vistr.models.vistr import VisTR
from vistr.runtime import system
from vistr.runtime.parallel import Ranks, num_local_ranks
from vistr.tasks.prediction import clip_sizes
from vistr.tasks.settings import Train
from vistr.training.optimizer import AdamW, Schedule
from vistr.training.step import TrainingStep
from vistr.training.trainer import Plan


def make_optimizer(config: Config, model: VisTR, step: TrainingStep, ranks: Ranks | None = None) -> AdamW:
    """The optimizer of the step's parameters, its moments zero; it sums the gradients of the ranks."""
    optimizer = config.optimizer
    return AdamW(
        step.parameters,
        weight_decay=optimizer.weight_decay,
        clip_norm=optimizer.clip_norm,
        ema=optimizer.ema,
        graphs=model.graphs,
        ranks=ranks,
    )


def make_schedule(config: Config) -> Schedule:
    """The learning rates over the run."""
    optimizer = config.optimizer
    return Schedule(
        optimizer.learning_rate,
        optimizer.backbone_learning_rate,
        optimizer.epochs if optimizer.drop_epoch is None else optimizer.drop_epoch,
        optimizer.drop_factor,
        optimizer.warmup_steps,
    )


def clips_a_step(config: Config) -> int:
    """Clips that one process contributes to an optimizer step."""
    return config.optimizer.batch_size * config.optimizer.accumulation_steps


def default_workers() -> int:
    """Threads that load clips: the cores that are this process's share of the machine, but one; 1 to 8."""
    cores = system.available_cores() // num_local_ranks()
    return min(max(cores - 1, 1), 8)


def make_loader(
    config: Config, videos: VideoSet, ranks: Ranks | None = None, batch_size: int | None = None
) -> ClipLoader:
    """Shuffled, augmented clips of the training videos, or this rank's share of them."""
    dataset, augmentation = config.dataset, config.dataset.augmentation
    return ClipLoader(
        videos,
        num_frames=config.num_frames,
        batch_size=batch_size or config.optimizer.batch_size,
        augmentation=augmentation,
        short_side=dataset.short_side,
        long_side=dataset.long_side,
        size_divisor=dataset.size_divisor,
        seed=config.seed,
        num_workers=default_workers() if dataset.num_workers is None else dataset.num_workers,
        shuffle=True,
        shard=(ranks or Ranks()).shard,
        sizes=clip_sizes(config, augmentation),
    )


def first_batch(loader: ClipLoader) -> Batch:
    """The first clips of a training."""
    with closing(loader.epoch(0)) as batches:
        return next(batches)


def make_plan(config: Config) -> Plan:
    """How long the run is and how often it reports."""
    optimizer, task = config.optimizer, Train.of(config)
    return Plan(
        epochs=optimizer.epochs,
        max_steps=optimizer.max_steps,
        accumulation_steps=optimizer.accumulation_steps,
        dropout=config.transformer.dropout,
        seed=config.seed,
        log_every=task.log_every,
        evaluate_every=task.evaluate_every,
        checkpoint_every=task.checkpoint_every,
        save_minutes=task.save_minutes,
        loss_scale=config.device.first_loss_scale,
    )
