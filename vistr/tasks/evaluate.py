"""`task=evaluate`: what a checkpoint finds in videos, and its AP where there is a truth. Training evaluates so too."""

from __future__ import annotations

import logging
import statistics
import time
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image

from vistr.config import Config
from vistr.config.adopting import adopt_checkpoint
from vistr.config.evaluation_sizes import evaluation_size
from vistr.config.open_videos import evaluation_videos, reading, with_categories
from vistr.data.videos import VideoSet
from vistr.drawing.pictures import video_sheet
from vistr.evaluation.official import evaluate
from vistr.evaluation.truth import truth_of
from vistr.files import replacing, write_json
from vistr.inference.loading import clip_settings
from vistr.inference.predictor import Predictor
from vistr.models.vistr import VisTR
from vistr.runs.typed import run_settings
from vistr.runtime.device import use_device
from vistr.runtime.parallel import Ranks, join
from vistr.tasks.settings import Evaluate, Evaluating
from vistr.training.tracking import Kind, Tracker, open_tracker
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


def evaluate_videos(
    config: Config,
    model: VisTR,
    video_set: VideoSet,
    folder: Path,
    tracker: Tracker,
    step: int = 0,
    epoch: int = 0,
    kind: Kind = "eval",
    ranks: Ranks | None = None,
) -> dict[str, float]:
    """Run the network over the videos and write what it found: results, pictures and, with a truth, the figures.

    `kind` is what the figures are recorded as. Several ranks share the videos; the first puts together what they
    found, as one process alone would have. Returns the 12 official figures, where there is a truth, and the pace,
    `frames_per_second_with_loading`.
    """
    ranks = ranks or Ranks()
    if not video_set.videos:
        return {}
    found, seconds, rate = find_tracks(config, model, video_set, ranks)
    parts = ranks.collect([found, rate])
    figures: dict[str, float] = {}
    if parts is not None:
        by_rank = [results for results, _ in parts]
        results = [entry for i in range(len(video_set.videos)) for entry in by_rank[i % ranks.size][i // ranks.size]]
        pace = {"frames_per_second_with_loading": sum(rate for _, rate in parts)}
        figures = report_results(config, video_set, results, seconds, pace, folder, tracker, step, epoch, kind)
    first: dict[str, float] = ranks.exchange(figures)[0]
    return first


def find_tracks(
    config: Config, model: VisTR, video_set: VideoSet, ranks: Ranks
) -> tuple[list[list[dict[str, Any]]], float, float]:
    """Official results entries of this rank's videos, every so many-th of all, the seconds they took, and the frames
    per second of the median video.

    The median, because the first video of a size compiles.
    """
    predictor = Predictor(model, clip_settings(config), min_score=Evaluating.of(config).min_score)
    results: list[list[dict[str, Any]]] = []
    rates: list[float] = []
    videos = video_set.videos[ranks.rank :: ranks.size]
    started = said = time.monotonic()
    begun = started
    for count, (video, found) in enumerate(zip(videos, predictor.results(video_set, videos), strict=True), 1):
        results.append(found)
        rates.append(len(video) / max(time.monotonic() - begun, 1e-9))
        begun = time.monotonic()
        if time.monotonic() - said > 30:
            said = time.monotonic()
            left = (said - started) / count * (len(videos) - count)
            logger.info("%d of %d videos, %.0f s left", count, len(videos), left)
    return results, time.monotonic() - started, statistics.median(rates) if rates else 0.0


def report_results(
    config: Config,
    video_set: VideoSet,
    results: list[dict[str, Any]],
    seconds: float,
    pace: dict[str, float],
    folder: Path,
    tracker: Tracker,
    step: int,
    epoch: int,
    kind: Kind,
) -> dict[str, float]:
    """Write results and pictures; the figures, where there is a truth, and the pace."""
    write_results(folder / "results", results)
    draw_videos(config, video_set, results, folder / "results", tracker, step, kind)
    frames = sum(len(v) for v in video_set.videos)
    logger.info(
        "%d videos, %d frames in %.1f s (%.1f frames/s)", len(video_set.videos), frames, seconds, frames / seconds
    )
    if not video_set.has_truth:
        logger.info("%s has no truth: no AP; upload results.zip to the evaluation server", video_set.annotation_file)
        return pace
    evaluation = evaluate(truth_of(video_set), results)
    write_json(folder / "metrics.json", evaluation.to_json())
    by_category = {f"AP/{row['name']}": row["AP"] for row in evaluation.per_category.values()}
    tracker.scalars(step, defined({**evaluation.figures, **pace, **by_category}), kind, epoch=epoch)
    whose = "AP" if kind == "eval" else "AP with averaged weights"
    logger.info("%s of %d videos after step %d:\n%s", whose, len(video_set.videos), step, evaluation.table())
    return evaluation.figures | pace


def draw_videos(
    config: Config,
    video_set: VideoSet,
    results: list[dict[str, Any]],
    folder: Path,
    tracker: Tracker,
    step: int,
    kind: Kind,
) -> None:
    """Pictures of the first few videos, truth above what was found; in TensorBoard too."""
    for video in video_set.videos[: Evaluating.of(config).num_pictures]:
        sheet = video_sheet(video_set, video, results)
        Image.fromarray(sheet).save(folder / f"video_{video.id}.png")
        tracker.image(f"videos/{video.id}" if kind == "eval" else f"videos_{kind}/{video.id}", sheet, step)


def write_results(folder: Path, results: list[dict[str, Any]]) -> None:
    """`results.json` in the official format, and the zip that the evaluation server takes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", results)
    with replacing(folder / "results.zip") as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "results.json", "results.json")


def defined(figures: dict[str, float]) -> dict[str, float]:
    """The figures without those that are undefined, -1: on a curve that would be a value."""
    return {name: value for name, value in figures.items() if value >= 0}
