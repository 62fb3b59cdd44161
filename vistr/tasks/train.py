"""`task=train`: a network, its data and a loop, as the configuration says."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from vistr.config import Config
from vistr.config.compose import to_dict
from vistr.config.evaluation_sizes import clip_sizes, evaluation_size
from vistr.config.open_videos import reading, training_videos
from vistr.data.buckets import Size, sizes_met
from vistr.data.clips import Batch
from vistr.data.settings import Dataset
from vistr.data.slots import overfull
from vistr.data.videos import VideoSet
from vistr.files import PROGRAM
from vistr.models.build import build_model
from vistr.runs.rows import read_rows
from vistr.runs.runs import final_training_figures
from vistr.runs.typed import run_settings, typed_values
from vistr.runtime import parallel
from vistr.runtime.device import use_device
from vistr.runtime.parallel import join
from vistr.tasks.evaluate import defined, evaluate_videos
from vistr.training.compile_ahead import Work, compile_ahead, every_step, first_step
from vistr.training.parts import first_batch, first_batches, make_loader, make_optimizer
from vistr.training.step import TrainingStep
from vistr.training.tracking import open_tracker
from vistr.training.trainer import Trainer, is_ended
from vistr.weights.checkpoint import Metadata, checkpoint_to_resume, load_weights
from vistr.weights.fitting import require_fitting
from vistr.weights.initial import load_initial, read_initial

logger = logging.getLogger(__name__)
CALIBRATION_FRAMES = 36  # most whose features are in memory at once for BatchNorm's statistics
CLIPS_SEEN = 16  # before the training, where queries are chosen by what they find in them


def run(config: Config) -> dict[str, float]:
    """Train as configured; returns the final figures of the evaluated videos and of the training."""
    folder = config.folder
    device = use_device(config.device.target, config.device.id)
    ranks = join(device)
    if ranks.size > 1:
        logger.info("%d processes, %d clips a step", ranks.size, config.training.clips_per_step * ranks.size)
    # The other ranks are given the first one's weights.
    fresh = config.resume is None and ranks.first
    initial = read_initial(config.init) if config.init is not None and fresh else None
    if initial is not None:
        require_fitting(initial, config)
    with reading(config, ranks):
        videos, judged = training_videos(config)
    for some in videos.values():
        logger.info("training: %d videos of %s", len(some.videos), some.annotation_file)
        if (warning := overfull(some, config.num_frames, config.num_instances)) is not None:
            logger.warning("%s: %s", some.annotation_file.name, warning)
    size, split = evaluation_size(config), config.dataset.evaluated_part.split
    logger.info("evaluation: %d videos (dataset.split=%s), at %s", len(judged.videos), split, size)
    categories = videos[config.dataset.evaluated_name].categories

    @cache
    def first() -> Batch:
        # What one process alone would start with: all ranks take the first clips of all.
        return first_batch(make_loader(config, videos, batch_size=config.training.batch_size * ranks.size))

    def works() -> list[Work]:
        every = works_of(config, videos, judged) if device == "GPU" else []
        return every or first_step(config, first())

    # On GPUs one rank of a machine compiles for all.
    if ranks.size == 1 or (device == "GPU" and parallel.local_rank() == 0):
        compile_ahead(config, len(categories), works)
    ranks.wait()
    model = build_model(config, len(categories), drawn=fresh)
    num_parameters = sum(p.size for p in model.get_parameters())
    logger.info("%.1f M parameters", num_parameters / 1e6)
    step = TrainingStep(model, config.loss)
    optimizer = make_optimizer(config, model, step, ranks)
    metadata = Metadata(to_dict(config), list(categories))
    loader = make_loader(config, videos, ranks)
    if initial is not None:
        names = [category.name for category in categories]
        load_initial(model, initial, names, first_batches(make_loader(config, videos, batch_size=1), CLIPS_SEEN))
        del initial
    elif fresh:
        every = -(-len(first().targets) * config.num_frames // CALIBRATION_FRAMES)
        # Each frame as a clip of its own, so that no others are prepared.
        clips = (some.reshape(-1, 1, *some.shape[2:])[::every] for some in (first().frames, first().padding))
        images, context = model.prepare(*clips)
        model.detector.backbone.calibrate(images, context.sizes)
        logger.info("no init=: random weights; BatchNorm statistics taken from the first batch")
    if config.resume is not None:
        checkpoint = checkpoint_to_resume(Path(config.resume))
        load_weights(model, checkpoint, exactly=True)
        optimizer.load_state(checkpoint.optimizer)
        metadata.state, metadata.metrics = checkpoint.metadata.state, checkpoint.metadata.metrics
        logger.info("going on after step %d", metadata.state.step)
    resume_step = metadata.state.step if config.resume is not None else None
    ranks.share(list(model.get_parameters()))
    with open_tracker(folder, ranks, resume_step=resume_step, evaluated=is_ended(metadata.state)) as tracker:
        tracker.text("config", run_settings(config))
        parameters = typed_values(config.overrides)
        tracker.hparams(parameters, {})

        def evaluate(step_number: int, epoch: int) -> dict[str, float]:
            at = (step_number, epoch)
            figures = evaluate_videos(config, model, judged, folder, tracker, *at, ranks=ranks)
            if optimizer.average is not None:
                with optimizer.average.in_place():
                    where = folder / "ema"
                    of_average = evaluate_videos(config, model, judged, where, tracker, *at, "ema", ranks)
                figures |= {f"ema_{name}": value for name, value in of_average.items()}
            return figures

        trainer = Trainer(
            config,
            model=model,
            step=step,
            optimizer=optimizer,
            loader=loader,
            tracker=tracker,
            metadata=metadata,
            folder=folder,
            device=device,
            evaluate=evaluate,
            ranks=ranks,
        )
        figures = trainer.run()
        shown = {
            f"ema/{name[4:]}" if name.startswith("ema_") else f"eval/{name}": value
            for name, value in defined(figures).items()
        }
        shown |= tracker.latest("train/loss", "train/clips_per_second", "train/memory_gb")
        tracker.hparams(parameters, shown)
    say_where_things_are(config, folder, figures)
    return {**figures, **final_training_figures(read_rows(folder)), "million_parameters": num_parameters / 1e6}


def works_of(config: Config, videos: Mapping[str, VideoSet], judged: VideoSet) -> list[Work]:
    """All that the run can have to compile; nothing where clips can have any size."""
    parts = config.dataset.by_name
    training = [size for name, some in videos.items() for size in _training_sizes(config, parts[name], some)]
    divisor = config.dataset.evaluated_part.size_divisor
    frames = {(video.height, video.width) for video in judged.videos}
    evaluation = sizes_met(frames, None, *evaluation_size(config)[:2], divisor, clip_sizes(config))
    return every_step(config, list(dict.fromkeys(training)), evaluation) if training else []


def _training_sizes(config: Config, dataset: Dataset, videos: VideoSet) -> list[Size]:
    frames = {(video.height, video.width) for video in videos.videos}
    sides = (dataset.short_side, dataset.long_side)
    return sizes_met(frames, dataset.augmentation, *sides, dataset.size_divisor, clip_sizes(config, dataset))


def say_where_things_are(config: Config, folder: Path, figures: dict[str, float]) -> None:
    """The last lines of a run: what came out and where to look."""
    shown = os.path.relpath(folder)
    lines = ["", "Done. What there is to look at:"]
    if "AP" in figures:
        lines.append(f"  held-out AP {figures['AP']:.3f}, AP50 {figures['AP50']:.3f}: {shown}/metrics.json")
    if any((folder / "results").glob("video_*.png")):
        lines.append(f"  pictures, truth above what was found: {shown}/results/video_*.png")
    lines.append(f"  checkpoints: {shown}/checkpoints ({PROGRAM} task=evaluate checkpoint={shown})")
    lines.append(f"  curves: tensorboard --logdir {os.path.relpath(config.outputs)}")
    logger.info("\n".join(lines))
