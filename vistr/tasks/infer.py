"""`task=infer`: the objects of any video, as data, pictures and a video to look at."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from vistr.config import Config
from vistr.config.adopting import adopt_checkpoint
from vistr.config.evaluation_sizes import evaluation_size
from vistr.data.segmentation import RLE, area
from vistr.data.sources import VideoSource, open_sources
from vistr.data.values import printable
from vistr.data.video import Pixels, VideoWriter
from vistr.data.videos import Category
from vistr.drawing.frames import Sheet, Shown, draw_shown
from vistr.drawing.report import ReportTrack, write_report
from vistr.drawing.track_files import TrackFiles
from vistr.errors import UserError
from vistr.inference.frame_progress import FrameProgress
from vistr.inference.loading import chosen_categories, make_predictor
from vistr.inference.predictor import Predictor
from vistr.inference.track_store import SpooledTrack, TrackMasks, TrackSpool, best_tracks
from vistr.tasks.settings import Infer
from vistr.weights.checkpoint import read_checkpoint

logger = logging.getLogger(__name__)
FRAMES_PER_SECOND = 10.0  # of frames that say none


@dataclass
class Found:
    """A video, the folder of its pictures, and the tracks kept of it, numbered from 1 in the order they start in."""

    id: int
    name: str
    folder: Path
    source: VideoSource
    spool: TrackSpool
    tracks: Mapping[int, SpooledTrack]
    categories: Mapping[int, Category]

    @cached_property
    def numbers(self) -> dict[int, int]:
        """The number of each track by the spool's id."""
        return {track.id: number for number, track in self.tracks.items()}

    def seen(self, frame: int) -> Iterator[tuple[int, float, RLE]]:
        """(number, the frame's score, mask) of the tracks in a frame."""
        for track, score, rle in self.spool.in_frame(frame, self.numbers):
            yield self.numbers[track], score, rle

    def shown(self, frame: int) -> list[Shown]:
        """The tracks to draw in a frame."""
        return [
            Shown(number, self.name_of(number), self.tracks[number].score, rle)
            for number, _, rle in self.seen(frame)
            if area(rle)
        ]

    def name_of(self, number: int) -> str:
        """A track's category."""
        return self.categories[self.tracks[number].label].name


def run(config: Config) -> dict[str, float]:
    """Find the tracks of what task.input names; returns the numbers of frames and tracks."""
    task = Infer.of(config)
    checkpoint = read_checkpoint(task.checkpoint)
    images = config.dataset.images  # the user's, not those the checkpoint was trained on
    config = adopt_checkpoint(config, checkpoint.metadata.config, config.overrides)
    categories = chosen_categories(task.categories, checkpoint)
    # Before the network: what is wrong with the input shows at once.
    sources = open_sources(task.input, None if images is None else Path(images))
    logger.info("searched at %s", evaluation_size(config))
    predictor = make_predictor(config, checkpoint, task.min_score)
    folder = config.folder / "results"
    with ExitStack() as stack:
        with _writing(folder), TrackFiles(folder) as files:
            found, failed = _find_all(task, predictor, sources, categories, folder, stack)
            for video in found:
                _write_tracks(files, video)
        if task.overlay:
            for video in found:
                _draw(task, video)
        _say_where_things_are(task, folder, found)
    if failed:
        raise UserError(f"{failed} of {len(sources)} videos could not be read to their end, as said above.")
    frames = sum(video.spool.num_frames for video in found)
    return {"frames": frames, "tracks": sum(len(video.tracks) for video in found)}


def _find_all(
    task: Infer,
    predictor: Predictor,
    sources: Sequence[tuple[int, VideoSource]],
    categories: Mapping[int, Category],
    folder: Path,
    stack: ExitStack,
) -> tuple[list[Found], int]:
    """The tracks of every video that can be read, and the number of videos that cannot."""
    names = _distinct([source.name for _, source in sources])
    found: list[Found] = []
    for (video_id, source), name in zip(sources, names, strict=True):
        spool = TrackSpool(folder / f".{name}.sqlite")
        stack.callback(spool.close)
        try:
            _search(predictor, source, name, spool)
        except UserError as error:
            if len(sources) == 1:
                raise
            logger.error("%s", error)
            continue
        kept = best_tracks(spool, categories, min_score=task.min_score, max_tracks=task.max_tracks)
        pictures = folder if len(sources) == 1 else folder / name
        found.append(Found(video_id, name, pictures, source, spool, dict(enumerate(kept, 1)), categories))
    return found, len(sources) - len(found)


def _search(predictor: Predictor, source: VideoSource, name: str, spool: TrackSpool) -> None:
    progress = FrameProgress(f"{name}: searched", source.num_frames)
    for frame in predictor.link(source, progress.reach):
        spool.add(frame)
    spool.commit()
    progress.clear()
    logger.info(
        "%s: %d frames of %dx%d searched in %.1f s (%.3g frames/s)",
        name,
        spool.num_frames,
        source.size[1],
        source.size[0],
        progress.seconds,
        progress.frames_per_second,
    )
    if source.lost is not None:
        logger.warning("%s", source.lost)


def _write_tracks(files: TrackFiles, video: Found) -> None:
    for track in video.tracks.values():
        files.add_track(
            video_id=video.id,
            category_id=video.categories[track.label].id,
            score=track.score,
            masks=video.spool.of_track(track.id),
            num_frames=video.spool.num_frames,
        )
    for frame in range(video.spool.num_frames):
        rows = ((number, video.name_of(number), score, rle) for number, score, rle in video.seen(frame))
        files.add_frame(video.name, frame, rows)


def _draw(task: Infer, video: Found) -> None:
    """Read the video again, and draw what is known of its tracks now that they have ended."""
    rate = task.frames_per_second or video.source.frames_per_second or FRAMES_PER_SECOND
    sheet, progress = Sheet(video.spool.num_frames), FrameProgress(f"{video.name}: drawn", video.spool.num_frames)
    shown = f"{len(video.tracks)} tracks (score {task.min_score:g} and more)"
    with _writing(video.folder, done="results.json and tracks.csv are complete"):
        video.folder.mkdir(parents=True, exist_ok=True)
        times = video.source.times if task.frames_per_second is None else None
        with VideoWriter(video.folder / "overlay.mp4", rate, times) as writer:
            write_report(
                video.folder / "report.html",
                progress.follow(_drawn_on_the_way(video, writer, sheet)),
                _report_tracks(video),
                title=video.name,
                frames_per_second=rate,
                description=f"{video.spool.num_frames} frames, {shown}.",
            )
        Image.fromarray(sheet.picture(f"found: {shown}")).save(video.folder / "contact_sheet.png")
    logger.info("%s: drawn in %.1f s (%.3g frames/s)", video.name, progress.seconds, progress.frames_per_second)


def _drawn_on_the_way(video: Found, writer: VideoWriter, sheet: Sheet) -> Iterator[Pixels]:
    """The video's frames for the report; the overlaid video and the sheet take theirs as they pass."""
    for index, frame in zip(range(video.spool.num_frames), video.source, strict=False):
        shown = video.shown(index)
        writer.write(draw_shown(frame, shown))
        sheet.offer(index, frame, shown)
        yield frame


def _report_tracks(video: Found) -> list[ReportTrack]:
    masks = {number: TrackMasks(video.spool, track) for number, track in video.tracks.items()}
    return [
        ReportTrack(number, video.name_of(number), track.score, masks[number].first, masks[number])
        for number, track in video.tracks.items()
    ]


@contextmanager
def _writing(folder: Path, done: str | None = None) -> Iterator[None]:
    """Turn what a full disk raises into a sentence; `done` says what is safe already."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        safe = f" ({done})" if done else ""
        raise UserError(f"{folder} cannot be written: {reason}{safe}; free some space, or choose outputs=.") from error


def _distinct(names: Sequence[str]) -> list[str]:
    """The names as those of folders, numbered where several are the same; on a disk they need not be text."""
    plain = [printable(name).strip(". ") or "video" for name in names]
    times = Counter(name.casefold() for name in plain)
    taken = {name for name, count in times.items() if count == 1}
    found = []
    for name in plain:
        place, distinct = 1, name
        while times[name.casefold()] > 1 and (distinct := f"{name}_{place}").casefold() in taken:
            place += 1
        taken.add(distinct.casefold())
        found.append(distinct)
    return found


def _say_where_things_are(task: Infer, folder: Path, found: Sequence[Found]) -> None:
    lines = ["", "Done. What there is to look at:"]
    for video in found:
        seen = ", ".join(
            f"{number} {video.name_of(number)} {track.score:.2f}" for number, track in list(video.tracks.items())[:8]
        )
        more = f" and {len(video.tracks) - 8} more" if len(video.tracks) > 8 else ""
        lines.append(f"  {video.name}: {len(video.tracks)} tracks{': ' if seen else ''}{seen}{more}")
    lines.append(f"  data: results.json and tracks.csv in {os.path.relpath(folder)}")
    if task.overlay:
        for place in [os.path.relpath(video.folder) for video in found[:8]]:
            lines.append(f"  to look at: report.html, overlay.mp4 and contact_sheet.png in {place}")
    logger.info("\n".join(lines))
