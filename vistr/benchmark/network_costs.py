"""What a network costs at one size, measured in this process: `python -m vistr.benchmark.network_costs`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from vistr.benchmark import measure as measuring
from vistr.benchmark.flops import count_gflop
from vistr.config import Config
from vistr.config.compose import from_dict
from vistr.data.clip_sources import VideoClips
from vistr.data.layouts import find_layout
from vistr.data.loader import ClipLoader
from vistr.data.shapes import write_shapes
from vistr.data.sources import dataset_frames
from vistr.data.videos import Category, VideoSet
from vistr.data.ytvis import read_ytvis
from vistr.inference import loading as prediction
from vistr.inference.predictor import Predictor
from vistr.inference.video_clips import ClipSettings, clips_of
from vistr.models.build import build_model
from vistr.models.vistr import VisTR
from vistr.runtime.device import peak_memory_gb, use_device
from vistr.runtime.subprocess_call import answer_request
from vistr.tasks.settings import Benchmark
from vistr.training.compile_ahead import compile_ahead, first_step
from vistr.training.parts import first_batch, make_optimizer, step_noise
from vistr.training.step import TrainingStep
from vistr.weights.checkpoint import load_weights, read_checkpoint

NUM_VIDEOS = 2
YTVIS_CATEGORIES = 40
Part = Literal["inference", "network", "training"]


def measure(config: Config, folder: Path, part: Part) -> dict[str, Any]:
    """Measure one `part` of the benchmark at one size in this process; generated videos are written to `folder`."""
    device = use_device(config.device.target, config.device.id)
    task = Benchmark.of(config)
    checkpoint = None if task.checkpoint is None else read_checkpoint(task.checkpoint)
    num_categories = YTVIS_CATEGORIES if checkpoint is None else len(checkpoint.metadata.categories)
    videos = generated_videos(config, folder, num_categories)
    clip = clip_settings(config)
    first = next(clips_of(dataset_frames(videos, videos.videos[0]), clip))
    frames, padding = first.network_input(clip.size_divisor, clip.sizes)
    clips = training_clips(config, videos)
    ahead = None
    if part == "training":
        ahead = compile_ahead(config, num_categories, lambda: first_step(config, first_batch(clips)))
    model = build_model(config, num_categories)
    if checkpoint is not None:
        load_weights(model, checkpoint)
    else:
        images, context = model.prepare(frames[:, :1], padding[:, :1])
        model.detector.backbone.calibrate(images, context.sizes)
    if part == "training":
        timing = train_some(config, model, clips)
        memory = {part: peak_memory_gb(device)} | ({} if ahead is None else {"compiling it before": ahead})
        return {"training": asdict(timing), "memory_gb": memory}
    answer: dict[str, Any] = point_of(config, num_categories)
    answer["padded_height"], answer["padded_width"] = padding.shape[-2:]
    answer["network"] = asdict(measuring.time_network(model, frames, padding, task.repeats))
    answer["memory_gb"] = {"network": peak_memory_gb(device)}
    if part == "network":
        return answer
    answer["environment"] = measuring.environment(device, config.device.id)
    predictor = Predictor(model, clip)
    answer["pipeline"] = asdict(measuring.time_pipeline(predictor, videos, task.repeats))
    matmul = answer["matmul_gflop_per_second"] = measuring.matmul_rates()
    rate = answer["gflop"]["total"] / answer["network"]["median_seconds"]
    shares = {name: rate / of_matmul for name, of_matmul in matmul.items()}
    answer["attained"] = {"gflop_per_second": rate, "share_of_matmul": shares}
    return answer


def point_of(config: Config, num_categories: int) -> dict[str, Any]:
    """Which network at which size, and its GFLOP."""
    (height, width), checkpoint = frame_size(config), Benchmark.of(config).checkpoint
    sizes = (key for key in asdict(config.transformer) if key not in ("dropout", "pre_norm"))
    return {
        "backbone": config.backbone.name,
        "num_frames": config.num_frames,
        "height": height,
        "width": width,
        **{key: getattr(config.transformer, key) for key in sizes},
        "num_instances": config.num_instances,
        "num_logits": num_categories + 2,
        "dilation": config.backbone.stride == 16,
        "sequence_head": config.sequence_head,
        "weights": "random" if checkpoint is None else Path(checkpoint).name,
        "gflop": count_gflop(config, num_categories + 2, height, width),
    }


def training_clips(config: Config, videos: VideoSet) -> ClipLoader:
    """Clips of the video with the most objects: all of one size, so that only the first step compiles."""
    most = max(videos.videos, key=lambda video: len(video.annotations))
    clip = clip_settings(config)
    clips = VideoClips(
        replace(videos, videos=(most,)),
        num_frames=clip.num_frames,
        augmentation=None,
        short_side=min(frame_size(config)),
        long_side=max(frame_size(config)),
        size_divisor=clip.size_divisor,
        sizes=clip.sizes,
    )
    return ClipLoader(clips, batch_size=1, seed=config.seed, num_workers=0, shuffle=False)


def train_some(config: Config, model: VisTR, clips: ClipLoader) -> measuring.StepTiming:
    """Training steps as configured."""
    step = TrainingStep(model, config.loss)
    optimizer = make_optimizer(config, model, step)
    noise = partial(step_noise, config, config.num_frames)
    return measuring.time_training(step, optimizer, config.optimizer.rates, clips, noise, Benchmark.of(config).repeats)


def frame_size(config: Config) -> tuple[int, int]:
    """(height, width) of the frames to measure with."""
    return Benchmark.of(config).frame_size(config)


def clip_settings(config: Config) -> ClipSettings:
    """Settings that leave generated frames at their own size."""
    short, long = sorted(frame_size(config))
    return replace(prediction.clip_settings(config), short_side=short, long_side=long)


def generated_videos(config: Config, folder: Path, num_categories: int) -> VideoSet:
    """Generated videos of one clip each, their categories numbered 1 to `num_categories`."""
    height, width = frame_size(config)
    written = write_shapes(
        folder,
        num_videos=NUM_VIDEOS,
        num_frames=config.num_frames,
        height=height,
        width=width,
        max_objects=config.dataset.max_objects,
        seed=config.dataset.seed,
    )
    videos = read_ytvis(*find_layout("shapes", written, "train"))
    renamed = [
        replace(v, annotations=tuple(replace(a, category_id=1 + a.category_id % num_categories) for a in v.annotations))
        for v in videos.videos
    ]
    categories = tuple(Category(number, f"category {number}") for number in range(1, num_categories + 1))
    return replace(videos, categories=categories, videos=tuple(renamed))


def main(arguments: Sequence[str]) -> int:
    """The process that measures; generated videos go to the request's folder."""

    def find(request: dict[str, Any], folder: Path) -> dict[str, Any]:
        return measure(from_dict(request["config"]), folder, request["part"])

    return answer_request(arguments, find)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
