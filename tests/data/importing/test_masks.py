"""Mask pictures as people have them: coloured, black and white, smoothed, JPEGs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vistr.data.importing.mask_pictures import read_masks
from vistr.data.importing.writing import ImportedVideo
from vistr.data.segmentation import decode
from vistr.errors import UserError

HEIGHT, WIDTH = 60, 80
FIRST, SECOND = np.zeros((HEIGHT, WIDTH), bool), np.zeros((HEIGHT, WIDTH), bool)
FIRST[10:30, 10:30] = SECOND[35:55, 40:70] = True


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Two videos of one frame."""
    for name in ("v", "w"):
        (tmp_path / "frames" / name).mkdir(parents=True)
        (tmp_path / "masks" / name).mkdir(parents=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "frames" / name / "0.jpg")
    return tmp_path / "frames"


def painted(*colours: Any, dtype: str = "uint8") -> np.ndarray:
    shape = (HEIGHT, WIDTH, len(colours[0])) if isinstance(colours[0], tuple) else (HEIGHT, WIDTH)
    pixels = np.zeros(shape, dtype)
    for mask, colour in zip((FIRST, SECOND), colours, strict=False):
        pixels[mask] = colour
    return pixels


def save(frames: Path, picture: Any, name: str = "v/0.png", **options: Any) -> Path:
    path = frames.parent / "masks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **options)
    return path


def read(frames: Path, classes: Any = None) -> list[ImportedVideo]:
    Image.new("L", (WIDTH, HEIGHT)).save(frames.parent / "masks" / "w" / "0.png")
    return read_masks(frames.parent / "masks", frames, classes)


def assert_both(videos: list[ImportedVideo], names: list[tuple[str, str]]) -> None:
    assert list(videos[0].objects) == names
    for frames, expected in zip(videos[0].objects.values(), (FIRST, SECOND), strict=False):
        np.testing.assert_array_equal(decode(frames[0]) > 0, expected)


def test_colours_are_objects_and_two_colours_of_one_grey_stay_two(frames: Path) -> None:
    # Both have the grey of (76, 76, 76).
    save(frames, painted((255, 0, 0), (0, 130, 0)))
    assert Image.new("RGB", (1, 1), (255, 0, 0)).convert("L").getpixel((0, 0)) == 76
    assert Image.new("RGB", (1, 1), (0, 130, 0)).convert("L").getpixel((0, 0)) == 76
    videos = read(frames, {"v": {"#ff0000": "car", "#008200": "tree"}, "w": {}})
    assert set(videos[0].objects) == {("#ff0000", "car"), ("#008200", "tree")}
    np.testing.assert_array_equal(decode(videos[0].objects["#ff0000", "car"][0]) > 0, FIRST)
    np.testing.assert_array_equal(decode(videos[0].objects["#008200", "tree"][0]) > 0, SECOND)


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA", "P", "I;16"])
def test_numbers_are_read_from_every_mode(mode: str, frames: Path) -> None:
    grey = Image.fromarray(painted(1, 2))
    if mode == "P":
        picture = Image.fromarray(painted(1, 2), "P")
        picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [9] * 759)
    elif mode == "I;16":
        picture = Image.fromarray(painted(1, 2, dtype="uint16"))
    else:
        picture = grey.convert(mode)
    save(frames, picture)
    assert_both(read(frames, {"v": {"1": "car", "2": "dog"}}), [("1", "car"), ("2", "dog")])


def test_what_is_transparent_is_background(frames: Path) -> None:
    pixels = painted((255, 0, 0, 255), (0, 0, 255, 255))
    pixels[~FIRST & ~SECOND] = (40, 40, 40, 0)
    save(frames, pixels)
    assert {name for name, _ in read(frames)[0].objects} == {"#ff0000", "#0000ff"}


@pytest.mark.parametrize(
    "picture", [painted(255), painted((255, 255, 255)), painted(65535, dtype="uint16"), painted(255) > 0]
)
def test_black_and_white_is_one_object(picture: np.ndarray, frames: Path) -> None:
    save(frames, picture)
    (masks,) = read(frames)[0].objects.values()
    np.testing.assert_array_equal(decode(masks[0]) > 0, FIRST)


def test_white_beside_numbered_objects_is_not_to_be_judged(frames: Path) -> None:
    save(frames, painted(1, 255))
    assert_both(read(frames), [("1", "object")])


@pytest.mark.parametrize("other", [7, (255, 0, 0)])
def test_white_is_an_object_where_its_class_is_given_and_else_said_to_be_left_out(
    other: Any, frames: Path, caplog: pytest.LogCaptureFixture
) -> None:
    white, name = (255, "7") if other == 7 else ((255, 255, 255), "#ff0000")
    save(frames, painted(other, white))
    assert list(read(frames)[0].objects) == [(name, "object")]
    assert "white is left out as not to be judged" in caplog.text
    objects = read(frames, {"v": {name.upper(): "a", "255": "b"}, "w": {}})[0].objects
    assert set(objects) == {(name, "a"), ("255", "b")}


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan])
def test_values_that_number_nothing_are_refused(value: float, frames: Path) -> None:
    save(frames, painted(value, 1, dtype="float32"), "v/0.tif")
    with pytest.raises(UserError, match=r"0\.tif has values that are no numbers of objects"):
        read(frames)


def smoothed(mode: str) -> Image.Image:
    """As a program that draws or resizes with smoothing leaves it."""
    small = Image.fromarray(painted(255, 255) if mode == "L" else painted((255, 0, 0), (0, 130, 0)))
    return small.resize((33, 27), Image.Resampling.BILINEAR).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("name", ["v/0.png", "v/car_1/0.png"])
def test_smoothed_masks_are_refused_with_the_reason(mode: str, name: str, frames: Path) -> None:
    save(frames, smoothed(mode), name)
    with pytest.raises(UserError, match=r"0\.png is smoothed: it has \d+ values"):
        read(frames)


@pytest.mark.parametrize("colour", [255, (255, 0, 0), (255, 255, 255)])
@pytest.mark.parametrize("way", ["halved", "doubled"])
def test_edges_of_few_shades_are_smoothed_too(way: str, colour: Any, frames: Path) -> None:
    large = Image.fromarray(painted(colour))
    if way == "halved":
        large = large.resize((2 * WIDTH + 2, 2 * HEIGHT + 2), Image.Resampling.NEAREST)
        picture = large.crop((1, 1, 2 * WIDTH + 1, 2 * HEIGHT + 1)).resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    else:
        small = large.resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.NEAREST)
        picture = small.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    save(frames, picture)
    with pytest.raises(UserError, match="is smoothed"):
        read(frames)


def test_a_thin_object_between_two_others_is_an_object(frames: Path) -> None:
    pixels = painted(200, 100)
    pixels[30:32, 10:30] = 90
    save(frames, pixels)
    assert len(read(frames)[0].objects) == 3


@pytest.mark.parametrize("name", ["v/0.jpg", "v/car_1/0.jpg"])
def test_jpegs_are_refused_with_the_reason(name: str, frames: Path) -> None:
    path = save(frames, painted(1, 2), name)
    with pytest.raises(UserError, match=r"0\.jpg is a JPEG, which keeps no exact values"):
        read(frames)
    path.rename(path.with_suffix(".png"))
    with pytest.raises(UserError, match=r"0\.png is a JPEG, which keeps no exact values"):
        read(frames)


def test_many_small_objects_are_not_smoothed(frames: Path) -> None:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number in range(1, 101):
        row, column = divmod(number - 1, 10)
        pixels[6 * row : 6 * row + 3, 8 * column : 8 * column + 2] = number
    save(frames, pixels)
    assert len(read(frames)[0].objects) == 100


@pytest.mark.parametrize("classes", [[], "x", {"v": []}, {"v": {"1": None}}, {"v": {"1": 3}}, {"v": None}])
def test_a_file_of_classes_that_is_none_is_one_sentence(classes: Any, frames: Path) -> None:
    save(frames, painted(1))
    with pytest.raises(UserError) as error:
        read(frames, classes)
    assert len(str(error.value)) < 300


def test_damaged_masks_are_one_sentence(frames: Path) -> None:
    path = save(frames, painted(1, 2))
    whole = path.read_bytes()
    for content in (b"", b"<html>", whole[:40], whole[:-30], whole.replace(b"IDAT", b"JUNK")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"0\.png"):
            read(frames)
