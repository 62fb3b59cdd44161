"""The steps of an augmentation as crops and resizes of its frames that compute no pixel in vain.

Boxes and masks follow the steps as they were drawn. Of a frame only what the last step shows is computed; it is flipped
where it is smallest, and the resize before a crop and the one after it are done as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from vistr.data.transforms import Distort, Flip, FrameStep, Resize, ResizedCrop, Step

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Window:
    """A rectangle (top, left, bottom, right) of a frame of `before` (height, width), resized to `after`."""

    before: tuple[int, int]
    box: Box
    after: tuple[int, int]

    def frame(self, image: Image.Image, position: int) -> Image.Image:
        """The window of a frame, which may have been decoded at a fraction of its size."""
        down, across = image.height / self.before[0], image.width / self.before[1]
        top, left, bottom, right = self.box
        region = (left * across, top * down, min(right * across, image.width), min(bottom * down, image.height))
        return image.resize(self.after[::-1], Image.Resampling.BILINEAR, box=region)

    def mirrored(self) -> Window:
        """The window of the mirrored frame whose image is this one's, mirrored."""
        top, left, bottom, right = self.box
        return replace(self, box=(top, self.before[1] - right, bottom, self.before[1] - left))

    def reach(self) -> tuple[int, int, int, int]:
        """The whole pixels (top, left, bottom, right) that the resize reads."""
        low_high = []
        for axis in (0, 1):
            near, far = self.box[axis], self.box[axis + 2]
            margin = max(1.0, (far - near) / self.after[axis]) + 1
            low_high.append((max(math.floor(near - margin), 0), min(math.ceil(far + margin), self.before[axis])))
        (top, bottom), (left, right) = low_high
        return top, left, bottom, right

    def part(self, top: int, left: int, bottom: int, right: int) -> Window:
        """The window that computes only these pixels of the result."""
        near, far = self.box[:2], self.box[2:]
        down, across = ((end - start) / length for start, end, length in zip(near, far, self.after, strict=True))
        box = (near[0] + top * down, near[1] + left * across, near[0] + bottom * down, near[1] + right * across)
        return Window(self.before, box, (bottom - top, right - left))

    def moved(self, top: int, left: int, bottom: int, right: int) -> Window:
        """The same window of a frame that is cropped to these pixels."""
        box = (self.box[0] - top, self.box[1] - left, self.box[2] - top, self.box[3] - left)
        return Window((bottom - top, right - left), box, self.after)


def frame_steps(steps: Sequence[Step]) -> list[FrameStep]:
    """What to do to every frame of a clip, one after the other."""
    changes: list[Window | Distort] = []
    flip: Flip | None = None
    for number, step in enumerate(steps):
        if isinstance(step, Flip):
            assert number == 0
            flip = step
        elif isinstance(step, Distort):
            changes.append(step)
        elif isinstance(step, Resize) and number and isinstance(steps[number - 1], ResizedCrop):
            crop = changes.pop()
            assert isinstance(crop, Window)
            changes.append(replace(crop, after=step.after))
        else:
            window = _window(step)
            changes.append(window.mirrored() if flip else window)
    limited = _limited(changes)
    return [*limited, flip] if flip else limited


def reduced_size(steps: Sequence[Step]) -> tuple[int, int] | None:
    """The least (height, width) that a frame may be decoded at: where the first resize halves at least."""
    first = next((step for step in steps if isinstance(step, Resize)), None)
    if first is None or any(2 * after > before for before, after in zip(first.before, first.after, strict=True)):
        return None
    return first.after


def _window(step: Step) -> Window:
    if isinstance(step, Resize):
        return Window(step.before, (0, 0, *step.before), step.after)
    assert isinstance(step, ResizedCrop)
    before, after = step.resize.before, step.resize.after
    whole = Window(before, (0, 0, *before), after)
    return whole.part(step.top, step.left, step.top + step.height, step.left + step.width)


def _limited(changes: Sequence[Window | Distort]) -> list[FrameStep]:
    """The same with every window but the last computing only what the one after it reads."""
    limited: list[FrameStep] = []
    needed: tuple[int, int, int, int] | None = None
    first = next((number for number, change in enumerate(changes) if isinstance(change, Window)), None)
    for number in reversed(range(len(changes))):
        change = changes[number]
        if isinstance(change, Window):
            change = change if needed is None else change.part(*needed)
            needed = change.reach()
            change = change if number == first else change.moved(*needed)
        limited.append(change)
    return limited[::-1]
