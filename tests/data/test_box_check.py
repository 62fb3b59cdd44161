"""Boxes at odds with the masks they come with."""

from __future__ import annotations

import numpy as np
import pytest

from vistr.data.box_check import BoxCheck
from vistr.data.segmentation import RLE, encode
from vistr.errors import UserError

HEIGHT, WIDTH = 60, 90
Box = tuple[float, float, float, float]


def objects(count: int = 20) -> list[tuple[RLE, Box]]:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(count):
        x, y = int(generator.integers(5, 50)), int(generator.integers(5, 30))
        width, height = int(generator.integers(8, 30)), int(generator.integers(8, 25))
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[y : y + height, x : x + width] = 1
        found.append((encode(mask), (float(x), float(y), float(width), float(height))))
    return found


def check(pairs: list[tuple[RLE | None, Box | None]]) -> str | None:
    checked = BoxCheck("a.json")
    for number, (rle, box) in enumerate(pairs, 1):
        checked.add(f"annotation {number}", [None, rle], [None, box])
    return checked.finish()


def changed(box: Box, how: str) -> Box:
    x, y, width, height = box
    if how.startswith("corners"):
        box = (x, y, x + width, y + height)
    if how.startswith("centres"):
        box = (x + width / 2, y + height / 2, width, height)
    if how.endswith("0 to 1"):
        box = (box[0] / WIDTH, box[1] / HEIGHT, box[2] / WIDTH, box[3] / HEIGHT)
    return box


def test_boxes_that_fit_are_taken_and_so_are_small_differences(caplog: pytest.LogCaptureFixture) -> None:
    check([*objects(), (None, (1, 1, 1, 1)), (None, None)])
    check([(rle, (box[0] - 1.4, box[1] + 1, box[2] + 2, box[3] - 1.5)) for rle, box in objects()])
    check([])
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("corners", r"they are corners \[x0, y0, x1, y1\],"),
        ("centres", r"they are centres \[x, y, width, height\],"),
        ("shares from 0 to 1", "they are shares of the picture from 0 to 1,"),
        ("corners from 0 to 1", r"they are corners \[x0, y0, x1, y1\] from 0 to 1,"),
        ("centres from 0 to 1", r"they are centres \[x, y, width, height\] from 0 to 1,"),
    ],
)
def test_boxes_in_another_form_are_refused_by_its_name(how: str, sentence: str) -> None:
    with pytest.raises(UserError, match=r"a\.json: \d+ of 20 boxes do not fit their masks: " + sentence):
        check([(rle, changed(box, how)) for rle, box in objects()])


def test_run_lengths_along_rows_are_refused() -> None:
    turned = []
    for _, box in objects():
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[int(box[1]) : int(box[1] + box[3]), int(box[0]) : int(box[0] + box[2])] = 1
        turned.append((encode(mask.reshape(-1).reshape(WIDTH, HEIGHT).T), box))
    with pytest.raises(UserError, match="run lengths were counted along rows"):
        check(turned)


def test_what_nothing_explains_is_a_warning() -> None:
    pairs = objects()
    warning = check([(rle, other) for (rle, _), (_, other) in zip(pairs, pairs[::-1], strict=True)])
    assert "boxes do not fit their masks, such as annotation 1" in (warning or "")
