"""Painting the frames of generated videos: outlines, an instance with its shadow, a background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SUPERSAMPLING = 4


@dataclass(frozen=True)
class Place:
    """Where an instance is in one frame: centre and radius in pixels, angle in radians."""

    x: float
    y: float
    radius: float
    angle: float


def _circle(radius: float, num_points: int = 48) -> NDArray[np.float64]:
    turns = 2 * np.pi * np.arange(num_points) / num_points - np.pi / 2
    points: NDArray[np.float64] = radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return points


def _star() -> NDArray[np.float64]:
    points = _circle(1.2, 10)
    points[1::2] *= 0.45
    return points


def _cross(arm: float = 0.34, reach: float = 1.08) -> NDArray[np.float64]:
    corner = np.array([[-arm, -reach], [arm, -reach], [arm, -arm]])
    quarter_turn = np.array([[0, 1], [-1, 0]])
    return np.concatenate([corner @ np.linalg.matrix_power(quarter_turn, k) for k in range(4)])


# Points [P, 2] in units of the instance's radius: the outline, then the hole if there is one.
OUTLINES = {
    "circle": [_circle(0.95)],
    "square": [0.84 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])],
    "triangle": [_circle(1.18, 3)],
    "star": [_star()],
    "ring": [_circle(1.0), _circle(0.5)],
    "cross": [_cross()],
}


def _coverage(category: str, place: Place, margin: int) -> tuple[Image.Image, int, int]:
    """The covered share of each pixel (mode L) on a patch that has `margin` to spare; its left and top."""
    reach = 1.25 * place.radius + margin
    left, top = int(np.floor(place.x - reach)), int(np.floor(place.y - reach))
    size = SUPERSAMPLING * (int(np.ceil(2 * reach)) + 1)
    patch = Image.new("L", (size, size))
    draw = ImageDraw.Draw(patch)
    cos, sin = np.cos(place.angle), np.sin(place.angle)
    for fill, outline in zip((255, 0), OUTLINES[category], strict=False):
        turned = place.radius * outline @ np.array([[cos, sin], [-sin, cos]])
        # Pillow's coordinates name the middle of a pixel, hence the half.
        points = SUPERSAMPLING * (turned + np.array([place.x - left, place.y - top])) - 0.5
        draw.polygon([(float(x), float(y)) for x, y in points], fill=fill)
    return patch.reduce(SUPERSAMPLING), left, top


def paint_instance(
    canvas: NDArray[np.float32], category: str, color: NDArray[np.float32], place: Place
) -> NDArray[np.bool_]:
    """Paints an instance and its shadow over the canvas [H, W, 3]; returns the pixels it half covers."""
    height, width = canvas.shape[:2]
    patch, left, top = _coverage(category, place, margin=3 + round(0.25 * place.radius))
    covered = np.zeros((height, width), bool)
    rows = slice(max(top, 0), min(top + patch.height, height))
    columns = slice(max(left, 0), min(left + patch.width, width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return covered
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))

    coverage = np.asarray(patch, np.float32) / 255
    soft = np.asarray(patch.filter(ImageFilter.GaussianBlur(0.1 * place.radius)), np.float32) / 255
    slope_y, slope_x = np.gradient(soft)
    light = 1 + np.clip(0.16 * place.radius * (slope_x + slope_y), -0.28, 0.22)  # from the upper left
    offset = max(1, round(0.12 * place.radius))
    shadow = 0.45 * np.roll(soft, (offset, offset), (0, 1))

    target = canvas[rows, columns]
    target *= 1 - shadow[inside][..., None]
    target += coverage[inside][..., None] * (light[inside][..., None] * color - target)
    covered[rows, columns] = coverage[inside] >= 0.5
    return covered


def _waves(
    rng: np.random.Generator, x: NDArray[np.float32], y: NDArray[np.float32], low: float, high: float
) -> NDArray[np.float32]:
    """Clouds: a sum of waves of all directions, `low` to `high` radians a unit, the fine ones fainter."""
    clouds = np.zeros_like(x)
    for frequency in np.geomspace(low, high, 20):
        direction, phase = rng.uniform(0, 2 * np.pi, 2)
        argument = frequency * (np.cos(direction) * x + np.sin(direction) * y) + phase
        clouds += np.cos(argument.astype(np.float32)) * np.float32((low / frequency) ** 0.5)
    return clouds


def paint_background(rng: np.random.Generator, height: int, width: int, scale: float) -> Image.Image:
    """A muted texture: clouds in two near-grey colours, often under stripes, checks or rings, with grain.

    `scale` is the number of pixels a unit: features keep their size relative to it.
    """
    y, x = np.mgrid[:height, :width].astype(np.float32) / np.float32(scale)
    angle, frequency = rng.uniform(0, np.pi), rng.uniform(18, 40)
    centre_x, centre_y = rng.uniform(0, 1.6), rng.uniform(0, 1)
    along = np.sin(frequency * (x * np.cos(angle) + y * np.sin(angle)))
    across = np.sin(frequency * (y * np.cos(angle) - x * np.sin(angle)))
    rings = np.sin(frequency * np.hypot(x - centre_x, y - centre_y))
    pattern = (np.zeros_like(x), along, np.sign(along * across), rings)[rng.integers(4)]
    mix = np.clip(0.5 + 0.13 * _waves(rng, x, y, 3, 60) + 0.13 * pattern, 0, 1)[..., None]
    # The instances' colours are far more saturated than a grey with a little tint.
    tint = rng.uniform(-16, 16, 3)
    dark, bright = rng.uniform(50, 95) + tint, rng.uniform(120, 190) + rng.permutation(tint)
    grain = rng.normal(0, 3, (height, width, 1))
    return Image.fromarray(np.clip(dark + mix * (bright - dark) + grain, 0, 255).astype(np.uint8))
