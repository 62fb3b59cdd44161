"""A picture seen from a moving camera: one affine map for every frame of a clip, for its pixels and its masks alike.

Pillow warps: it is there already, takes a quarter of SciPy's time, and lets other threads run meanwhile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vistr.data.segmentation import RLE, decode

# Pixels of the picture beside the part that is seen, so that smoothing reads the same as without a part cut out.
_MARGIN = 4


@dataclass(frozen=True)
class Warp:
    """A picture of `before` (height, width) in frames of `after`.

    `maps [T, 2, 3]` lead from the places (x, y) of a frame to those of the picture, in pixels; the middle of the first
    pixel is (0.5, 0.5).
    """

    before: tuple[int, int]
    after: tuple[int, int]
    maps: NDArray[np.float64]

    @cached_property
    def smallest_step(self) -> float:
        """How many pixels of the picture one of a frame covers, along a side, in the frame that is nearest."""
        return float(np.sqrt(np.abs(np.linalg.det(self.maps[:, :, :2])).min()))

    @cached_property
    def _reduced(self) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
        """The part (left, top, right, bottom) of the picture that any frame shows, and the (width, height) it is kept
        at: reduced first, smoothly, where frames are smaller, as an affine map leaves out pixels then."""
        seen, margin = self._corners(), _MARGIN * max(self.smallest_step, 1)
        near, far = np.floor(seen.min((0, 1)) - margin), np.ceil(seen.max((0, 1)) + margin)
        height, width = self.before
        left, top = (int(one) for one in np.clip(near, 0, (width - 1, height - 1)))
        right, bottom = (int(one) for one in np.clip(far, (left + 1, top + 1), (width, height)))
        ratio = max(self.smallest_step, 1)
        size = max(round((right - left) / ratio), 1), max(round((bottom - top) / ratio), 1)
        return (left, top, right, bottom), size

    @property
    def decoded_size(self) -> tuple[int, int]:
        """The least (height, width) that the picture may be decoded at."""
        ratio = max(self.smallest_step, 1)
        return math.ceil(self.before[0] / ratio), math.ceil(self.before[1] / ratio)

    def prepared(self, picture: Image.Image) -> Image.Image:
        """The part of a picture that `frame` reads, resized; `picture` may be decoded at a fraction of its size."""
        (left, top, right, bottom), size = self._reduced
        down, across = picture.height / self.before[0], picture.width / self.before[1]
        region = left * across, top * down, right * across, bottom * down
        return picture.resize(size, Image.Resampling.BILINEAR, box=region)

    def frame(
        self, prepared: Image.Image, position: int, window: tuple[int, int, int, int] | None = None
    ) -> Image.Image:
        """One frame, or its `window` (left, top, right, bottom); 0 where the picture does not reach."""
        (left, top, right, bottom), (width, height) = self._reduced
        x0, y0, x1, y1 = window or (0, 0, self.after[1], self.after[0])
        scale = np.array([[width / (right - left)], [height / (bottom - top)]])
        linear = self.maps[position, :, :2] * scale
        offset = (self.maps[position, :, 2:] - [[left], [top]]) * scale + linear @ [[x0], [y0]]
        # Rounding would put frames that end with the picture beyond it.
        values = np.round(np.concatenate([linear, offset], axis=1), 9).reshape(-1).tolist()
        return prepared.transform((x1 - x0, y1 - y0), Image.Transform.AFFINE, values, Image.Resampling.BILINEAR)

    def masks(self, rle: RLE) -> list[tuple[slice, slice, NDArray[np.bool_]]]:
        """A mask of the picture in each frame: rows and columns of a window around it, and the mask there.

        A pixel is inside where more than half of it is, by the same interpolation as the frames'.
        """
        mask = decode(rle)
        prepared = self.prepared(Image.fromarray(mask * np.uint8(255)))
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        found = []
        for position in range(len(self.maps)):
            window = (0, 0, 0, 0)
            if len(rows):
                margin = 2 * max(self.smallest_step, 1)
                box = columns[0] - margin, rows[0] - margin, columns[-1] + 1 + margin, rows[-1] + 1 + margin
                window = self._window(np.array(box, np.float64), position)
            x0, y0, x1, y1 = window
            if x1 <= x0 or y1 <= y0:
                found.append((slice(0), slice(0), np.zeros((0, 0), bool)))
                continue
            seen = np.asarray(self.frame(prepared, position, window)) >= 128
            found.append((slice(y0, y1), slice(x0, x1), seen))
        return found

    def boxes(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Boxes `[N, 4]` (left, top, right, bottom) around what boxes of the picture become: `[N, T, 4]`, cut off at
        the frames' edges; without area where nothing is seen."""
        corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
        linear, offset = self.maps[:, :, :2], self.maps[:, :, 2]
        moved = np.einsum("tij,ntkj->ntki", np.linalg.inv(linear), corners[:, None] - offset[:, None])
        around = np.concatenate([moved.min(axis=2), moved.max(axis=2)], axis=-1)
        inside: NDArray[np.float64] = np.clip(around, 0, [*self.after[::-1]] * 2)
        return inside

    def outside(self) -> NDArray[np.bool_] | None:
        """Where frames show what is not in the picture, `[T, H, W]`; None where they nowhere do."""
        height, width = self.before
        seen, slack = self._corners(), 1e-6
        beyond = ((seen < -slack) | (seen > np.array([width, height]) + slack)).any(axis=(1, 2))
        if not beyond.any():
            return None
        outside = np.zeros((len(self.maps), *self.after), bool)
        across, down = (np.arange(side) + 0.5 for side in self.after[::-1])
        for position in np.flatnonzero(beyond):
            for (by_x, by_y, constant), side in zip(self.maps[position], (width, height), strict=True):
                places = (by_y * down + constant)[:, None] + by_x * across
                outside[position] |= (places < 0) | (places >= side)
        return outside

    def _corners(self) -> NDArray[np.float64]:
        """The places of the frames' corners in the picture, `[T, 4, 2]`."""
        height, width = self.after
        corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)], np.float64)
        places: NDArray[np.float64] = np.einsum("tij,kj->tki", self.maps, corners)
        return places

    def _window(self, box: NDArray[np.float64], position: int) -> tuple[int, int, int, int]:
        one = Warp(self.before, self.after, self.maps[position : position + 1])
        left, top, right, bottom = one.boxes(box[None])[0, 0]
        return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
