"""`task=train`: a network, its data and a loop, as the configuration says."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

from vistr.config import Config
from vistr.config.compose import to_dict
from vistr.data.loader import ClipLoader
from vistr.data.transforms import Recipe
from vistr.data.videos import VideoSet
from vistr.device import use_device
from vistr.losses.criterion import Weights
from vistr.losses.matching import Costs
from vistr.models.backbone import calibrate
from vistr.models.build import build_model
from vistr.models.vistr import VisTR
from vistr.parallel import Ranks, join
from vistr.results.runs import final_training_figures, read_rows
from vistr.tasks.reporting import defined, evaluate_videos, run_settings, say_where_things_are, typed_values
from vistr.tasks.sources import training_videos
from vistr.training.checkpoint import Metadata, load_weights, read_checkpoint
from vistr.training.optimizer import AdamW, Schedule
from vistr.training.step import TrainingStep
from vistr.training.tracking import open_tracker
from vistr.training.trainer import Plan, Trainer
from vistr.weights.initial import load_initial

logger = logging.getLogger(__name__)


def run(config: Config) -> dict[str, float]:
    """Train as configured, in config.run_dir; returns the final figures of the evaluated videos and of the training."""
    assert config.run_dir is not None
    folder = Path(config.run_dir)
    device = use_device(config.device.target, config.device.id)
    ranks = join(device)
    if ranks.size > 1:
        logger.info("%d processes, %d clips a step", ranks.size, clips_a_step(config) * ranks.size)
    with ranks.first_ahead():
        videos, judged = training_videos(config)
    logger.info("training: %d videos of %s", len(videos.videos), videos.annotation_file)
    logger.info("evaluation: %d videos (dataset.split=%s)", len(judged.videos), config.dataset.split)
    model = build_model(config, len(videos.categories))
    num_parameters = sum(p.size for p in model.get_parameters())
    logger.info("%.1f M parameters", num_parameters / 1e6)
    step = make_step(config, model)
    settings = config.optimizer
    optimizer = AdamW(
        step.parameters,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        ema=settings.ema,
        graphs=model.graphs,
    )
    metadata = Metadata(to_dict(config), list(videos.categories))
    loader = make_loader(config, videos, ranks)
    if config.init is not None:
        load_initial(model, config.init, videos.names)
    elif config.resume is None:
        # What one process alone would start with: all ranks take the first clips of all.
        with closing(
            make_loader(config, videos, batch_size=config.optimizer.batch_size * ranks.size).epoch(0)
        ) as all_clips:
            batch = next(all_clips)
            calibrate(model.detector.backbone, model.prepare(batch.frames, batch.padding)[0])
        logger.info("no init=: random weights; BatchNorm statistics taken from the first batch")
    if config.resume is not None:
        checkpoint = read_checkpoint(Path(config.resume))
        load_weights(model, checkpoint, exactly=True)
        optimizer.load_state(checkpoint.optimizer)
        metadata.state, metadata.metrics = checkpoint.metadata.state, checkpoint.metadata.metrics
        logger.info("going on after step %d", metadata.state.step)
    resume_step = metadata.state.step if config.resume is not None else None
    ranks.share(list(model.get_parameters()))
    with open_tracker(folder, ranks, resume_step=resume_step) as tracker:
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
            model,
            step,
            optimizer,
            make_schedule(config),
            loader,
            make_plan(config),
            tracker,
            metadata,
            folder,
            device,
            evaluate,
            ranks,
        )
        figures = trainer.run()
        shown = {f"eval/{name}": value for name, value in defined(figures).items()}
        shown |= tracker.latest("train/loss", "train/clips_per_second", "train/memory_gb")
        tracker.hparams(parameters, shown)
    say_where_things_are(config, folder, figures)
    return {**figures, **final_training_figures(read_rows(folder)), "million_parameters": num_parameters / 1e6}


def make_step(config: Config, model: VisTR) -> TrainingStep:
    """The training step with the configured losses."""
    loss = config.loss
    return TrainingStep(
        model,
        Weights(loss.class_weight, loss.box_weight, loss.giou_weight, loss.mask_weight, loss.dice_weight),
        Costs(loss.class_cost, loss.box_cost, loss.iou_cost),
        no_object_weight=loss.no_object_weight,
        aux_losses=loss.aux_losses,
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


def make_loader(
    config: Config, videos: VideoSet, ranks: Ranks | None = None, batch_size: int | None = None
) -> ClipLoader:
    """Shuffled, augmented clips of the training videos, or this rank's share of them."""
    dataset = config.dataset
    augmentation = dataset.augmentation
    recipe = Recipe(
        flip=augmentation.flip,
        resize_short=tuple(augmentation.resize_short),
        resize_long=augmentation.resize_long,
        photometric=augmentation.photometric,
        crop_resize_short=tuple(augmentation.crop_resize_short),
        crop_min=augmentation.crop_min,
        crop_max=augmentation.crop_max,
    )
    return ClipLoader(
        videos,
        num_frames=config.num_frames,
        batch_size=batch_size or config.optimizer.batch_size,
        recipe=recipe,
        short_side=dataset.short_side,
        long_side=dataset.long_side,
        size_divisor=dataset.size_divisor,
        seed=config.seed,
        num_workers=dataset.num_workers,
        shuffle=True,
        shard=(ranks or Ranks()).shard,
    )


def make_plan(config: Config) -> Plan:
    """How long the run is and how often it reports."""
    optimizer, task = config.optimizer, config.task
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
        loss_scale=config.device.loss_scale if config.device.precision == "fp16" else None,
    )
