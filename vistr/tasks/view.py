"""`task=view`: anyone's results beside the truth, as pages, the worst and the best first; or a dataset's clips."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice, zip_longest
from pathlib import Path

import numpy as np
from PIL import Image

from vistr.config import Config
from vistr.config.open_videos import training_videos
from vistr.data.samples import open_frame
from vistr.data.sources import dataset_frames, open_annotations
from vistr.data.videos import Video, VideoSet, check_images
from vistr.drawing.beside_truth import report_tracks
from vistr.drawing.clip_sheets import clip_sheet
from vistr.drawing.gallery import Card, telling_frame, thumbnails, write_gallery
from vistr.drawing.report import write_report
from vistr.errors import UserError
from vistr.evaluation.official import evaluate_contents
from vistr.evaluation.pairing import FOUND_IOU, VideoPairs, pair_video
from vistr.evaluation.reading import Contents, read
from vistr.evaluation.truth import truth_of
from vistr.tasks.settings import View
from vistr.training.parts import make_loader

logger = logging.getLogger(__name__)
# Annotation files do not say it; YouTube-VIS took every fifth frame of about 30 a second.
FRAMES_PER_SECOND = 6.0
EXPLANATION = (
    "A video's score is the mean, over its annotated objects, of the overlap with the prediction that stands for each: "
    "the intersections of their masks, summed over all frames, divided by the unions. Objects and predictions of the "
    "same category are paired one to one so that the overlaps are largest; a missed object counts 0. Predictions that "
    "stand for nothing do not lower the score."
)


def run(config: Config) -> dict[str, float]:
    """Write index.html and a page for each chosen video into the run's folder; returns the official figures, if any.

    Where a dataset is named in place of results, the clips that a training on it would begin with are drawn.
    """
    task = View.of(config)
    if task.reads_dataset(config):
        draw_clips(config, task.num_videos)
        return {}
    annotation_file, results_file, folder = Path(task.annotations), Path(task.results), config.folder
    images = config.dataset.images
    video_set = open_annotations(annotation_file, None if images is None else Path(images))
    contents = read(truth_of(video_set), results_file)
    predicted_in = {video for video, _ in contents.results}
    pairs = [pair_video(contents, v.id, min_score=task.min_score) for v in video_set.videos]
    ranked = rank([one for one in pairs if one.video_id in predicted_in])
    if not ranked:
        raise UserError(f"{results_file} has no result to look at: it is an empty list, or names unknown categories.")
    chosen = ranked[: task.num_videos]
    videos = {video.id: video for video in video_set.videos}
    check_images(replace(video_set, videos=tuple(videos[one.video_id] for one in chosen)))
    cards = []
    for one in chosen:
        cards.append(write_video(video_set, videos[one.video_id], one, contents, folder))
        shown = "  -  " if one.score is None else f"{one.score:.3f}"
        logger.info("%s  %s  %s", shown, cards[-1].page, cards[-1].name)
    cards += [card_of(videos[one.video_id], one) for one in ranked[len(chosen) :]]
    figures = evaluate_contents(contents).figures if video_set.has_truth else {}
    write_gallery(
        folder / "index.html",
        cards,
        title=f"{results_file.name} beside {annotation_file.name}",
        description=EXPLANATION if video_set.has_truth else "These videos have no annotated objects: no scores.",
        figures={name: figures[name] for name in ("AP", "AP50", "AP75", "AR10") if name in figures},
        notes=remarks(task, contents, [videos[one.video_id] for one in pairs if one.video_id not in predicted_in]),
    )
    logger.info("Open in a browser: %s", os.path.relpath(folder / "index.html"))
    return figures


def draw_clips(config: Config, count: int | None) -> None:
    """Write the first `count` clips of a training, None: of an epoch, as pictures clip_0001.png ..."""
    videos, _ = training_videos(config)
    loader = make_loader(config, videos, batch_size=1)
    with closing(loader.epoch(0)) as batches:
        for number, batch in enumerate(islice(batches, count), 1):
            targets = batch.targets[0]
            video_set = videos[targets.source] if targets.source else next(iter(videos.values()))
            sheet = clip_sheet(batch.frames[0], targets, video_set)
            Image.fromarray(sheet).save(config.folder / f"clip_{number:04d}.png")
    logger.info("The clips a training would begin with: %s", os.path.relpath(config.folder / "clip_*.png"))


def rank(pairs: Sequence[VideoPairs]) -> list[VideoPairs]:
    """The worst video, the best, the second worst, the second best ..., then those without a score."""
    scored = sorted((one for one in pairs if one.score is not None), key=lambda one: (one.score, one.video_id))
    half = (len(scored) + 1) // 2
    worst, best = scored[:half], scored[half:][::-1]
    ranked = [one for one in chain.from_iterable(zip_longest(worst, best)) if one is not None]
    return ranked + [one for one in pairs if one.score is None]


def write_video(video_set: VideoSet, video: Video, pairs: VideoPairs, contents: Contents, folder: Path) -> Card:
    """Write one video's report; returns its card."""
    tracks = report_tracks(pairs, video, contents.categories)
    card = card_of(video, pairs)
    name = f"video_{video.id}.html"
    write_report(
        folder / name,
        dataset_frames(video_set, video),
        tracks,
        title=card.name,
        frames_per_second=FRAMES_PER_SECOND,
        description=described(card),
        back="index.html",
    )
    number = telling_frame(tracks, len(video))
    frame = np.asarray(open_frame(video_set, video, number))
    return replace(card, page=name, pictures=thumbnails(frame, tracks, number))


def card_of(video: Video, pairs: VideoPairs) -> Card:
    """A video's figures, without a page yet."""
    return Card(name_of(video), pairs.score, pairs.num_found, len(pairs.truth), len(pairs.predictions))


def name_of(video: Video) -> str:
    """The folder of its frames: the annotations give a video no name."""
    return Path(video.file_names[0]).parent.name or f"video {video.id}"


def described(card: Card) -> str:
    """The sentence below a video's name."""
    if card.score is None:
        return ""
    objects = f"{card.num_found} of {card.num_objects} object{'s' * (card.num_objects != 1)}"
    return f"Score {card.score:.2f}: {objects} found with an overlap of at least {FOUND_IOU:g}."


def remarks(task: View, contents: Contents, without: Sequence[Video]) -> list[str]:
    """What a reader of the pages should know of how they came about."""
    notes = contents.suspicions.lines()
    if task.min_score > 0:
        notes.append(f"Predictions with a score below {task.min_score:g} (task.min_score) are left out.")
    if without:
        names = ", ".join(name_of(video) for video in without[:5])
        more = f" and {len(without) - 5} more" if len(without) > 5 else ""
        notes.append(f"The results have no entry for {names}{more}: not shown, but missed objects for AP.")
    return notes
