"""Frames a second that one core loads: `python -m scripts.time_loader [--height 720] [--objects 2]`.

Made-up videos with JPEG frames of a camera's size in bytes; clips of 36 frames, with the paper's augmentation, only
resized as in evaluation, and made of single pictures, the videos' frames. With PYTHONPATH set to another checkout, that
one's loader is timed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from vistr.data.clip_sources import ClipSource, VideoClips
from vistr.data.loader import ClipLoader
from vistr.data.picture_clips import PictureClips
from vistr.data.settings import Augmentation, Motion
from vistr.data.videos import Annotation, Video, VideoSet
from vistr.data.ytvis import read_ytvis

NUM_FRAMES, VIDEO_LENGTH = 36, 40


def write_video(folder: Path, height: int, width: int, num_objects: int) -> VideoSet:
    """One video of a textured picture that moves, and ellipses as its objects."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8))
    scene = np.asarray(coarse.resize((width + 4 * VIDEO_LENGTH, height), Image.Resampling.BICUBIC)).astype(np.int16)
    names = [f"video/{frame:05d}.jpg" for frame in range(VIDEO_LENGTH)]
    (folder / "video").mkdir()
    for frame, name in enumerate(names):
        noise = rng.integers(-6, 7, (height, width, 3))
        seen = np.clip(scene[:, 4 * frame : 4 * frame + width] + noise, 0, 255).astype(np.uint8)
        Image.fromarray(seen).save(folder / name, quality=70)
    rows, columns = np.ogrid[:height, :width]
    annotations = []
    for number in range(num_objects):
        centre = width * (number + 1) / (num_objects + 1)
        masks = [
            ((rows - height / 2) / (height / 4)) ** 2 + ((columns - centre - 3 * frame) / (width / 8)) ** 2 < 1
            for frame in range(VIDEO_LENGTH)
        ]
        codes = [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
        annotations.append(
            {
                "id": number + 1,
                "video_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "segmentations": [{**code, "counts": code["counts"].decode()} for code in codes],
                "bboxes": [coco_mask.toBbox(code).tolist() for code in codes],
                "areas": [int(coco_mask.area(code)) for code in codes],
            }
        )
    video = {"id": 1, "height": height, "width": width, "file_names": names}
    content = {"videos": [video], "categories": [{"id": 1, "name": "ellipse"}], "annotations": annotations}
    (folder / "train.json").write_text(json.dumps(content))
    return read_ytvis(folder / "train.json", folder)


def as_pictures(videos: VideoSet) -> VideoSet:
    """Every frame of the videos as a picture."""
    pictures = [
        Video(frame, video.height, video.width, (name,), tuple(_in_frame(one, frame) for one in video.annotations))
        for video in videos.videos
        for frame, name in enumerate(video.file_names)
    ]
    return replace(videos, videos=tuple(pictures))


def _in_frame(one: Annotation, frame: int) -> Annotation:
    return replace(one, segmentations=(one.segmentations[frame],), boxes=(one.boxes[frame],), areas=(one.areas[frame],))


def frames_a_second(clips: ClipSource, num_clips: int) -> tuple[float, float]:
    """Frames a second of the clock, and of the processor's time, of one thread."""
    loader = ClipLoader(clips, batch_size=1, seed=0, num_workers=0, shuffle=True)
    with closing(loader.epoch(0)) as batches:
        next(batches)
        clock, busy = time.perf_counter(), time.process_time()
        for _ in range(num_clips):
            next(batches)
        clock, busy = time.perf_counter() - clock, time.process_time() - busy
    return NUM_FRAMES * num_clips / clock, NUM_FRAMES * num_clips / busy


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=720, help="of the frames, 16:9")
    parser.add_argument("--objects", type=int, default=2, help="in the video")
    parser.add_argument("--clips", type=int, default=12, help="to time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        height, width = options.height, options.height * 16 // 9
        videos = write_video(Path(folder), height, width, options.objects)
        size = (Path(folder) / videos.videos[0].file_names[0]).stat().st_size
        print(f"frames of {width}x{height}, {size / 1000:.0f} kB each, {options.objects} objects")
        settings: dict[str, Any] = {"num_frames": NUM_FRAMES, "short_side": 300, "long_side": 540, "size_divisor": 32}
        kinds: dict[str, ClipSource] = {
            "the paper's augmentation": VideoClips(videos, augmentation=Augmentation(), **settings),
            "resized only": VideoClips(videos, augmentation=None, **settings),
            "of single pictures": PictureClips(
                as_pictures(videos), augmentation=Augmentation(), motion=Motion(), **settings
            ),
        }
        for name, clips in kinds.items():
            clock, busy = frames_a_second(clips, options.clips)
            print(f"{name}: {clock:.1f} frames/s, {busy:.1f} per second of a core")


if __name__ == "__main__":
    main()
