"""Scenes of moving shapes with exact masks: an endless series of generated videos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vistr.data.painting import Place, paint_background, paint_instance

CATEGORIES = ("circle", "square", "triangle", "star", "ring", "cross")
# Each category has its own colour as well as its own shape, as things in the world do: a network that starts from
# nothing learns to name them within minutes.
COLORS = (
    (226, 44, 52),
    (38, 92, 232),
    (252, 208, 24),
    (46, 168, 66),
    (240, 84, 168),
    (24, 186, 204),
)


@dataclass(frozen=True)
class ShapesVideo:
    """A generated video: frames [T, H, W, 3], masks [N, T, H, W], category ids (1..6) of its N instances."""

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    category_ids: tuple[int, ...]


@dataclass(frozen=True)
class _Trip:
    """When an instance leaves the picture, in fractions of the video: sets out, is gone, turns, is back."""

    start: float
    gone: float
    turn: float
    back: float

    def distance(self, time: float) -> float:
        """How far out it is at `time`: 0 on its usual path, 1 outside the picture."""
        out = np.clip((time - self.start) / (self.gone - self.start), 0, 1)
        back = np.clip((time - self.turn) / (self.back - self.turn), 0, 1)
        return float(out * out * (3 - 2 * out) - back * back * (3 - 2 * back))


@dataclass(frozen=True)
class _Instance:
    category_id: int
    color: NDArray[np.float32]
    radius: float
    position: tuple[float, float]
    velocity: tuple[float, float]
    angle: float
    spin: float
    pulse: float
    trip: _Trip | None

    def place(self, frame: int, num_frames: int, height: int, width: int) -> Place:
        radius = float(self.radius * (1 + 0.1 * np.sin(self.pulse + 0.45 * frame)))
        x = _bounce(self.position[0] + frame * self.velocity[0], radius, width - radius)
        y = _bounce(self.position[1] + frame * self.velocity[1], radius, height - radius)
        if self.trip is not None:
            outside = -1.4 * radius if self.velocity[0] < 0 else width + 1.4 * radius
            x += self.trip.distance(frame / (num_frames - 1)) * (outside - x)
        return Place(x, y, radius, self.angle + frame * self.spin)


def _bounce(value: float, low: float, high: float) -> float:
    """Reflects `value` between two walls; the middle where they leave no room."""
    span = high - low
    if span <= 0:
        return (low + high) / 2
    return low + span - abs(span - (value - low) % (2 * span))


def _make_trip(rng: np.random.Generator, num_frames: int) -> _Trip | None:
    """For some instances a trip out of the picture and back, away for at least one frame."""
    if num_frames < 4 or rng.random() > 0.35:
        return None
    away = max(rng.uniform(0.15, 0.35), 1.01 / (num_frames - 1))
    start = rng.uniform(0.02, 0.44 - away)
    return _Trip(start, start + 0.25, start + 0.25 + away, start + 0.5 + away)


def _make_instances(
    rng: np.random.Generator, num_frames: int, height: int, width: int, max_objects: int
) -> list[_Instance]:
    """Who is in a video, farthest first."""
    instances = []
    for _ in range(int(rng.integers(1, max_objects + 1))):
        category_id = int(rng.integers(1, len(CATEGORIES) + 1))
        color = np.array(COLORS[category_id - 1], np.float32) * np.float32(rng.uniform(0.8, 1.0))
        direction, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.015, 0.05) * height
        instances.append(
            _Instance(
                category_id=category_id,
                color=np.clip(color + rng.uniform(-10, 10, 3), 0, 255).astype(np.float32),
                radius=min(height, width) * rng.uniform(0.15, 0.195),
                position=(rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height),
                velocity=(speed * np.cos(direction), speed * np.sin(direction)),
                angle=rng.uniform(-0.45, 0.45),
                spin=rng.uniform(-0.06, 0.06),
                pulse=rng.uniform(0, 2 * np.pi),
                trip=_make_trip(rng, num_frames),
            )
        )
    return instances


def draw_video(seed: int, index: int, *, num_frames: int, height: int, width: int, max_objects: int) -> ShapesVideo:
    """Draws video `index` of series `seed`: 1 to `max_objects` shapes that move, overlap, leave and return.

    A pixel belongs to the nearest instance that covers at least half of it. The same arguments give the same
    video; there is one for every index from 0 on.
    """
    rng = np.random.default_rng([seed, index])
    instances = _make_instances(rng, num_frames, height, width, max_objects)
    margin = round(0.15 * height)
    background = paint_background(rng, height + 2 * margin, width + 2 * margin, scale=height)
    camera, pan = rng.uniform(0, 2 * margin, 2), rng.uniform(-0.012, 0.012, 2) * height

    frames = np.empty((num_frames, height, width, 3), np.uint8)
    masks = np.zeros((len(instances), num_frames, height, width), bool)
    for frame in range(num_frames):
        left, top = (_bounce(float(value), 0, 2 * margin) for value in camera + frame * pan)
        view = background.transform(
            (width, height), Image.Transform.AFFINE, (1, 0, left, 0, 1, top), Image.Resampling.BILINEAR
        )
        canvas = np.array(view, np.float32)
        for k, instance in enumerate(instances):
            place = instance.place(frame, num_frames, height, width)
            covered = paint_instance(canvas, CATEGORIES[instance.category_id - 1], instance.color, place)
            masks[:k, frame] &= ~covered
            masks[k, frame] = covered
        frames[frame] = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    return ShapesVideo(frames, masks, tuple(instance.category_id for instance in instances))
