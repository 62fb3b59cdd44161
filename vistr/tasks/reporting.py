"""Results of some videos and where a person finds them."""

from __future__ import annotations

import logging
import os
import statistics
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from vistr.config import PATH_KEYS, Config
from vistr.config.compose import to_dict
from vistr.config.overrides import unquoted
from vistr.config.run_names import override_key
from vistr.data.videos import VideoSet
from vistr.drawing.pictures import video_sheet
from vistr.evaluation.official import evaluate
from vistr.evaluation.truth import truth_of
from vistr.files import PROGRAM, replacing, write_json
from vistr.inference.loading import clip_settings
from vistr.inference.predictor import Predictor
from vistr.models.vistr import VisTR
from vistr.runtime.parallel import Ranks
from vistr.tasks.settings import Evaluating
from vistr.training.tracking import Kind, Tracker

logger = logging.getLogger(__name__)


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


def defined(figures: dict[str, float]) -> dict[str, float]:
    """The figures without those that are undefined, -1: on a curve that would be a value."""
    return {name: value for name, value in figures.items() if value >= 0}


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


def typed_values(overrides: Sequence[str]) -> dict[str, bool | float | str]:
    """What was typed, by key, for TensorBoard's HParams: numbers as numbers, so that it can sort and colour by them.

    Where runs lie and what they go on with is left out: it would be a column that differs in every run.
    """
    values: dict[str, bool | float | str] = {}
    for override in overrides:
        key = override_key(override)
        if key in PATH_KEYS and key not in ("task.checkpoint", "init"):
            continue
        text = unquoted(override)
        value: Any = text
        with suppress(yaml.YAMLError):
            value = yaml.safe_load(text)
        if isinstance(value, str):
            with suppress(ValueError):
                value = float(value)  # YAML takes 1e-4 for text
        values[key] = value if isinstance(value, bool | int | float) else text
    return values


def run_settings(config: Config) -> str:
    """The configuration as Markdown, for TensorBoard."""
    return f"```yaml\n{yaml.safe_dump(to_dict(config), sort_keys=False)}```"


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
