"""Every kind of picture that people feed in, opened in one way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vistr.data.images import frame_count, image_size, read_frames, read_image
from vistr.data.picture_files import images_in
from vistr.errors import UserError

HALVES = np.repeat(np.repeat(np.array([[[200] * 3, [40] * 3]], np.uint8), 12, 0), 10, 1)  # 12x20, bright on the left


def halves(image: Image.Image) -> tuple[int, int]:
    """The middle of the left and of the right half."""
    pixels = np.asarray(image).astype(int)
    height, width = pixels.shape[:2]
    return int(pixels[height // 2, width // 4, 0]), int(pixels[height // 2, 3 * width // 4, 0])


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright_as_their_exif_orientation_says(orientation: int, suffix: str, tmp_path: Path) -> None:
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12] = 255
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = Image.fromarray(pixels)
    stored = upright.transpose(turned[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    stored.save(path, exif=exif, quality=95)
    assert image_size(path) == (24, 16)
    read = np.asarray(read_image(path)).astype(int)
    assert np.abs(read - pixels)[np.r_[1:6, 10:15]][:, np.r_[2:9, 15:22]].max() < 40


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("uint16", (30000, 9000), (117, 35)),  # as FFmpeg scales 16-bit grey video
        ("uint16", (4000, 100), (249, 6)),  # 12 bits in 16
        ("uint16", (200, 40), (200, 40)),  # 8 bits in 16
        ("int32", (60000, 0), (233, 0)),
        ("int32", (500, -500), (255, 0)),  # such as Hounsfield units
        ("float32", (1.0, 0.25), (255, 64)),
        ("float32", (200.0, 40.0), (200, 40)),
        ("float32", (36.6, -10.0), (255, 0)),
    ],
)
def test_pictures_of_more_than_8_bits_are_scaled(
    dtype: str, values: tuple[float, float], expected: tuple[int, int], tmp_path: Path
) -> None:
    pixels = np.where(HALVES[..., 0] > 100, values[0], values[1]).astype(dtype)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    assert halves(read_image(tmp_path / "a.tif")) == expected
    if dtype == "uint16":
        Image.fromarray(pixels).save(tmp_path / "a.png")
        assert halves(read_image(tmp_path / "a.png")) == expected


def test_the_frames_of_a_folder_are_scaled_alike_and_what_is_not_finite_is_black(tmp_path: Path) -> None:
    for number, brightest in enumerate((60, 3000, 900)):
        Image.fromarray(np.full((4, 4), brightest, np.uint16)).save(tmp_path / f"{number}.png")
    assert [halves(read_image(tmp_path / f"{number}.png"))[0] for number in range(3)] == [4, 187, 56]
    values = np.full((4, 4), 0.5, np.float32)
    values[:, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "depth.tif")
    assert halves(read_image(tmp_path / "depth.tif")) == (128, 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "HSV", "I;16"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    suffix = {"CMYK": "jpg", "YCbCr": "jpg", "HSV": "tif", "PA": "png"}.get(mode, "png")
    bright = Image.fromarray(np.where(HALVES > 100, 255, 0).astype(np.uint8))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(bright.convert("L")).astype(np.uint16) * 257)
    else:
        picture = bright.convert("RGB" if mode == "HSV" else mode)
    if mode == "PA":
        picture = bright.convert("P").convert("RGBA").quantize()
    picture.save(tmp_path / f"a.{suffix}")
    read = read_image(tmp_path / f"a.{suffix}")
    assert (read.mode, read.size) == ("RGB", (20, 12))
    left, right = halves(read)
    assert left > 240
    assert right < 15


def test_a_picture_of_16_bits_a_colour_keeps_its_shades(tmp_path: Path) -> None:
    # Pillow does not write such files: a PNG by hand.
    import struct
    import zlib

    row = b"\0" + struct.pack(">30H", *([0x8000, 0x4000, 0x2000] * 10))
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 10, 8, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * 8)),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    (tmp_path / "a.png").write_bytes(content)
    assert read_image(tmp_path / "a.png").getpixel((5, 5)) == (0x80, 0x40, 0x20)


def animation(path: Path, sizes: list[tuple[int, int]]) -> Path:
    frames = [Image.new("RGB", size, (20 * number, 0, 0)) for number, size in enumerate(sizes, 1)]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], **({} if path.suffix == ".mpo" else {"duration": 200})
    )
    return path


@pytest.mark.parametrize("suffix", ["tif", "webp", "png", "mpo"])
def test_all_frames_of_a_file_are_counted_and_read(suffix: str, tmp_path: Path) -> None:
    path = animation(tmp_path / f"a.{suffix}", [(32, 16)] * 3)
    frames = list(read_frames(path))
    assert frame_count(path) == len(frames) == 3
    assert [round(np.asarray(frame)[4, 4, 0] / 20) for frame, _ in frames] == [1, 2, 3]
    if suffix in ("webp", "png"):
        assert [seconds for _, seconds in frames] == pytest.approx([0.2] * 3)
    with pytest.raises(UserError, match=r"holds 3 pictures, a frame is one"):
        read_image(path)


def test_an_mpo_is_read_whatever_its_list_of_places_says(tmp_path: Path) -> None:
    path = animation(tmp_path / "burst.mpo", [(32, 16)] * 8)  # as Pillow writes it
    assert [round(np.asarray(frame)[4, 4, 0] / 20) for frame, _ in read_frames(path)] == list(range(1, 9))


def test_gain_maps_previews_and_masks_are_no_frames(tmp_path: Path) -> None:
    # Phones put a second picture behind a JPEG: Pillow calls such a file an MPO.
    animation(tmp_path / "a.mpo", [(32, 16), (8, 4)]).rename(tmp_path / "photo.jpg")
    assert frame_count(tmp_path / "photo.jpg") == 1
    assert read_image(tmp_path / "photo.jpg").size == (32, 16)
    assert frame_count(animation(tmp_path / "b.mpo", [(32, 16), (8, 4), (32, 16)])) == 2
    pages = [Image.new("RGB", size, "red") for size in ((32, 16), (16, 8))]
    pages[1].encoderinfo = {"tiffinfo": {254: 1}}
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    assert read_image(tmp_path / "scan.tif").size == (32, 16)


def test_hidden_files_and_other_files_are_no_frames(tmp_path: Path) -> None:
    for name in ("10.jpg", "9.JPG", "._9.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in images_in(tmp_path)] == ["9.JPG", "10.jpg"]


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 48), "red").save(path)
    whole = path.read_bytes()
    for content in (b"", b"<html>", whole[:30], whole[:60], whole[:20] + b"\xff" * 40 + whole[60:]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.png") as error:
            read_image(path)
        assert "\n" not in str(error.value)
    # The head of a picture of 60,000 x 60,000 pixels.
    path = tmp_path / "bomb.pgm"
    path.write_bytes(b"P5 60000 60000 255\n")
    with pytest.raises(UserError, match="is too large"):
        read_image(path)
    path = tmp_path / "few.pgm"
    path.write_bytes(b"P5 5000 5000 255\n")
    with pytest.raises(UserError, match="is too large: 5000x5000 pixels in 17 bytes"):
        read_image(path)
    # PostScript would be given to another program.
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    with pytest.raises(UserError, match="is not an image"):
        read_image(path)
