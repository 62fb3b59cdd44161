"""The sizes that clips are padded to: on a GPU a few, because every size is compiled before the first step."""

from __future__ import annotations

from collections.abc import Iterable

from vistr.data.settings import Augmentation
from vistr.data.transforms import resized

Size = tuple[int, int]
"""(height, width) in pixels."""
# Of the sides of most videos.
ASPECT = 16 / 9


def padded(side: int, divisor: int) -> int:
    """The next multiple of `divisor`, pixels."""
    return -(-side // divisor) * divisor


def padded_size(height: int, width: int, divisor: int, sizes: Iterable[Size] = ()) -> Size:
    """The smallest of the given sizes that holds a clip; multiples of `divisor` where none does."""
    holding = [size for size in sizes if size[0] >= height and size[1] >= width]
    if not holding:
        return padded(height, divisor), padded(width, divisor)
    return min(holding, key=lambda size: size[0] * size[1])


def few_sizes(
    augmentation: Augmentation | None, short_side: int, long_side: int | None, divisor: int
) -> tuple[Size, ...]:
    """A square, a landscape and a portrait size that hold every clip which `augmentation` gives, or the resize alone.

    With no limit on the long side they hold clips up to 16:9.
    """
    longest = short_side * ASPECT if long_side is None else float(long_side)
    if (
        augmentation is not None
        and augmentation.crop_resize_short
        and min(augmentation.crop_resize_short) >= augmentation.crop_min
    ):
        # No crop is longer than this; one pixel more for rounding.
        longest = min(longest, short_side * augmentation.crop_max / augmentation.crop_min + 1)
    short, long = padded(short_side, divisor), padded(int(longest), divisor)
    return tuple(dict.fromkeys([(short, short), (short, long), (long, short)]))


def sizes_met(
    videos: Iterable[Size],
    augmentation: Augmentation | None,
    short_side: int,
    long_side: int | None,
    divisor: int,
    sizes: tuple[Size, ...],
) -> list[Size]:
    """Every padded size that clips of videos of these sizes can have; with a crop, all that were given."""
    if augmentation is not None and augmentation.crop_resize_short:
        return list(sizes)
    found: dict[Size, None] = {}
    for size in videos:
        firsts = [size]
        if augmentation is not None and augmentation.resize_short:
            firsts = [resized(*size, short, augmentation.resize_long) for short in augmentation.resize_short]
        for first in firsts:
            found[padded_size(*resized(*first, short_side, long_side), divisor, sizes)] = None
    return list(found)
