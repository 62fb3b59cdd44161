"""How far decoding, network and tracks overlap: `python -m scripts.time_inference [--network 10]`.

A made-up video goes through `Predictor.link`. In place of the network stands one that answers after so many
milliseconds a frame, as on a device of its own, with ellipses for masks. With PYTHONPATH set to another checkout, and
this file's path in place of `-m`, that one is timed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import numpy as np
from mindspore import Tensor
from PIL import Image

from vistr.data.video import VideoFile, VideoWriter
from vistr.inference import predictor
from vistr.inference.postprocess import clip_tracks
from vistr.inference.predictor import Predictor
from vistr.inference.video_clips import ClipSettings, clips_of
from vistr.models.vistr import VisTR

HEIGHT, WIDTH, NUM_INSTANCES = 720, 1280, 10
SETTINGS = ClipSettings(num_frames=8, short_side=96, long_side=192, size_divisor=32, overlap=0.0)


def write_video(path: Path, num_frames: int) -> None:
    """A textured picture that moves, as H.264."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8))
    scene = np.asarray(coarse.resize((WIDTH + 4 * num_frames, HEIGHT), Image.Resampling.BICUBIC))
    with VideoWriter(path, 25.0) as writer:
        for frame in range(num_frames):
            noise = rng.integers(-4, 5, (HEIGHT, WIDTH, 1))
            seen = scene[:, 4 * frame : 4 * frame + WIDTH] + noise
            writer.write(np.clip(seen, 0, 255).astype(np.uint8))


class StandIn:
    """Answers as the network does, after `seconds` a clip during which it needs no processor."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.answers: dict[tuple[int, ...], Any] = {}

    def __call__(self, images: np.ndarray, padding: np.ndarray) -> Any:
        """The same tracks for every clip of one size."""
        if padding.shape not in self.answers:
            self.answers[padding.shape] = self._answer(*padding.shape[1:])
        time.sleep(self.seconds)
        return self.answers[padding.shape]

    def _answer(self, num_frames: int, height: int, width: int) -> Any:
        rows, columns = np.ogrid[: height // 4, : width // 4]
        masks = np.empty((num_frames, NUM_INSTANCES, height // 4, width // 4), np.float32)
        for frame, slot in np.ndindex(num_frames, NUM_INSTANCES):
            x = (slot + 0.5) / NUM_INSTANCES * columns.size + frame / 4
            masks[frame, slot] = 1 - ((rows - rows.size / 2) / 6) ** 2 - ((columns - x) / 4) ** 2
        logits = np.zeros((1, num_frames * NUM_INSTANCES, 42), np.float32)
        logits[..., 1] = 5
        return SimpleNamespace(logits=Tensor(logits), masks=Tensor(masks.reshape(1, -1, height // 4, width // 4)))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=float, default=10.0, help="milliseconds of the network a frame")
    parser.add_argument("--frames", type=int, default=160, help="of the video")
    options = parser.parse_args()
    in_tracks = 0.0

    def timed(*args: Any, **kwargs: Any) -> Any:
        nonlocal in_tracks
        started = time.thread_time()  # it waits for a processor, too, where two threads decode
        found = clip_tracks(*args, **kwargs)
        in_tracks += time.thread_time() - started
        return found

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        write_video(path, options.frames)
        network = StandIn(options.network / 1000 * SETTINGS.num_frames)
        predict = Predictor(cast(VisTR, network), SETTINGS)
        started = time.perf_counter()
        clips = sum(1 for _ in clips_of(VideoFile(path), SETTINGS))
        decoding = time.perf_counter() - started
        started = time.perf_counter()
        with patch.object(predictor, "clip_tracks", timed):
            frames = sum(1 for _ in predict.link(VideoFile(path)))
        together = time.perf_counter() - started
    parts = {"decoding": decoding, "network": clips * network.seconds, "tracks": in_tracks}
    print(", ".join(f"{name} {1000 * seconds / frames:.1f} ms" for name, seconds in parts.items()), "a frame")
    print(f"together {1000 * together / frames:.1f} ms a frame, {frames / together:.1f} frames/s")


if __name__ == "__main__":
    main()
