"""`task=evaluate`: what a checkpoint finds in videos, and its AP where there is a truth."""

from __future__ import annotations

import logging

from vistr.config import Config
from vistr.config.compose import adopt_checkpoint
from vistr.config.evaluation_sizes import evaluation_size
from vistr.config.open_videos import evaluation_videos, reading, with_categories
from vistr.runtime.device import use_device
from vistr.runtime.parallel import join
from vistr.tasks.reporting import evaluate_videos, run_settings
from vistr.tasks.settings import Evaluate
from vistr.training.tracking import open_tracker
from vistr.weights.checkpoint import network_of, read_checkpoint

logger = logging.getLogger(__name__)


def run(config: Config) -> dict[str, float]:
    """Evaluate task.checkpoint (a file or a run's folder) over dataset.split; returns the figures, if any.

    The checkpoint says what network it is, and what data it was trained for unless the user names other data.
    """
    checkpoint = read_checkpoint(Evaluate.of(config).checkpoint)
    config = adopt_checkpoint(config, checkpoint.metadata.config, config.overrides)
    ranks = join(use_device(config.device.target, config.device.id))
    with reading(config, ranks):
        videos = with_categories(evaluation_videos(config), checkpoint.metadata.categories, checkpoint.path)
    model = network_of(checkpoint, config)
    logger.info("%s, %d videos (%s)", checkpoint.path, len(videos.videos), videos.annotation_file)
    logger.info("evaluated at %s", evaluation_size(config))
    folder = config.folder
    with open_tracker(folder, ranks) as tracker:
        tracker.text("config", run_settings(config))
        state = checkpoint.metadata.state
        figures = evaluate_videos(config, model, videos, folder, tracker, state.step, state.epoch, ranks=ranks)
    ranks.leave()
    logger.info("results.json, results.zip and pictures: %s", folder / "results")
    return figures
