"""Opening pictures: RGB, upright, of 8 bits, and none that takes more memory than its file can stand for."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.MpoImagePlugin import MpoImageFile
from PIL.TiffImagePlugin import TiffImageFile

from vistr.data.picture_files import images_in
from vistr.errors import UserError, shown
from vistr.pointers import refuse_stand_in

Item = TypeVar("Item")

# Not all that Pillow knows: for some formats it starts other programs.
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "TGA", "JPEG2000")
# More than 8 bits a pixel: convert("RGB") would cut these off at 255.
_DEEP = ("I", "F")
_SAMPLES = 8
# A few bytes can claim any size: memory is taken for what is no larger than a large photo, and has bytes for it.
MAX_PIXELS, LARGE, MAX_PIXELS_PER_BYTE = 2**26, 2**24, 1000
# It warns of large pictures and odd metadata; what is too large it refuses.
warnings.filterwarnings("ignore", module="PIL")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_image(path: Path, place: str | None = None) -> Image.Image:
    """The picture in a file, RGB and turned upright as its EXIF orientation says; `place` is its name in sentences.

    Pictures of more than 8 bits are scaled to 8 (see `black_and_white`). FileNotFoundError where there is no file;
    UserError where it is no picture, is damaged, or holds several frames.
    """
    return read_reduced(path, place, None)[0]


def read_reduced(path: Path, place: str | None, least: tuple[int, int] | None) -> tuple[Image.Image, tuple[int, int]]:
    """`read_image`, and the (width, height) that the picture has in full.

    With `least` a JPEG may come at a half, a quarter or an eighth of its size, decoded in less time, but not under this
    (height, width).
    """
    with _opened(path, place) as image:
        whole = _upright_size(image)
        if least is not None and whole == image.size:
            image.draft(None, least[::-1])
        count = len(_frames(image))
        if count > 1:
            raise UserError(f"{place or path} holds {count} pictures, a frame is one: give the file alone, as a video.")
        return _upright_rgb(image, path), whole


def read_numbers(path: Path) -> NDArray:
    """The values of a picture's pixels as they are stored: [H, W] grey or numbers of a palette, else [H, W, 3 or 4].

    Raises as `read_image`; UserError also for a JPEG, whatever its name: its values are not those that were saved.
    """
    with _opened(path) as image:
        if image.format in ("JPEG", "MPO"):
            raise UserError(f"{path} is a JPEG, which keeps no exact values: save the masks as PNG, without smoothing")
        if image.mode in ("1", "L", "P") or _is_deep(image):
            return np.asarray(image)
        if image.mode in ("LA", "PA", "La"):
            bands = np.asarray(image)
            return np.where(bands[..., 1] == 0, 0, bands[..., 0])
        return np.asarray(image if image.mode in ("RGB", "RGBA") else image.convert("RGB"))


def image_size(path: Path, place: str | None = None) -> tuple[int, int]:
    """(width, height) of a picture as `read_image` gives it, from the file's head; raises as that does."""
    with _opened(path, place) as image:
        return _upright_size(image)


def stored_size(path: Path) -> tuple[int, int]:
    """(width, height) of the picture as it lies in the file, not turned; raises as `read_image`."""
    with _opened(path) as image:
        return image.size


def frame_count(path: Path) -> int:
    """The number of frames in the file: several in TIFF stacks, animated WebP and PNG, MPO; raises as `read_image`."""
    with _opened(path) as image:
        return len(_frames(image))


def read_frames(path: Path) -> Iterator[tuple[Image.Image, float]]:
    """The frames of a file of several, RGB, with the seconds each is shown (0: not said); raises as `read_image`."""
    with _opened(path) as image:
        for number in _frames(image):
            image.seek(number)
            # A copy: the file's own picture becomes the next frame.
            yield _upright_rgb(image, path).copy(), float(image.info.get("duration") or 0) / 1000


@contextmanager
def _opened(path: Path, place: str | None = None) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _refuse_bomb(image, path, place)
            yield image
    except (FileNotFoundError, UserError):
        raise
    except UnidentifiedImageError:
        refuse_stand_in(path)
        raise UserError(f"{place or path} is not an image, or one that Pillow cannot read.") from None
    except Image.DecompressionBombError as error:
        raise UserError(f"The image {place or path} is too large: {shown(error, 120)}") from None
    except OSError as error:
        reason = error.strerror or shown(error, 100)
        raise UserError(f"The image {place or path} is damaged or cut short ({reason}).") from None
    except Exception as error:  # Pillow's readers let all kinds through on damaged files
        raise UserError(f"The image {place or path} is damaged or cut short ({shown(error, 100)}).") from None


def _refuse_bomb(image: Image.Image, path: Path, place: str | None) -> None:
    pixels, stored = image.width * image.height, path.stat().st_size
    if pixels > MAX_PIXELS or (pixels > LARGE and pixels > MAX_PIXELS_PER_BYTE * stored):
        size = f"{image.width}x{image.height} pixels in {stored:,} bytes"
        raise UserError(f"The image {place or path} is too large: {size}; frames of up to {MAX_PIXELS:,} are read.")


def _frames(image: Image.Image) -> list[int]:
    """The numbers of the frames that belong to a video.

    A JPEG is one picture, whatever views and gain maps a phone has put behind it. Of a TIFF the pages marked as
    previews or masks are left out, of an MPO the pictures of another size than the first.
    """
    count = int(getattr(image, "n_frames", 1))
    if isinstance(image, TiffImageFile):
        kept = []
        for number in range(count):
            image.seek(number)
            if not int(image.tag_v2.get(254, 0)) & 5:
                kept.append(number)
    elif isinstance(image, MpoImageFile):
        kept, size = [], image.size
        path = Path(str(image.filename))
        if path.suffix.lower() == ".mpo":
            _mend_offsets(image, path)
        for number in range(count if path.suffix.lower() == ".mpo" else 1):
            image.seek(number)
            if image.size == size:
                kept.append(number)
    else:
        return list(range(count))
    kept = kept or [0]
    image.seek(kept[0])
    return kept


def _mend_offsets(image: MpoImageFile, path: Path) -> None:
    """Take the places of an MPO's pictures from the file: what Pillow itself writes is wrong from the fourth on."""
    starts = [0, *(match.end() for match in re.finditer(rb"\xff\xd9\0*(?=\xff\xd8\xff)", path.read_bytes()))]
    if len(starts) == image.n_frames:
        image._MpoImageFile__mpoffsets = starts  # type: ignore[attr-defined]


def _orientation(image: Image.Image) -> int:
    # Pillow turns TIFF files itself.
    return 1 if image.format == "TIFF" else int(image.getexif().get(0x0112, 1))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    return (image.height, image.width) if _orientation(image) in (5, 6, 7, 8) else image.size


def _upright_rgb(image: Image.Image, path: Path) -> Image.Image:
    turned = _orientation(image) in range(2, 9)
    upright = ImageOps.exif_transpose(image) if turned else image
    if _is_deep(image):
        return _scaled(np.asarray(upright), *black_and_white(path.parent, path.suffix.lower())).convert("RGB")
    if upright.mode == "RGB":
        upright.load()
        return upright
    return upright.convert("RGB")


def _is_deep(image: Image.Image) -> bool:
    return image.mode.split(";")[0] in _DEEP


def _scaled(values: NDArray, black: float, white: float) -> Image.Image:
    finite = np.nan_to_num(values.astype(np.float64), nan=black, posinf=white, neginf=black)
    shades = (finite - black) * (255 / (white - black))
    return Image.fromarray(np.clip(shades + 0.5, 0, 255).astype(np.uint8))


@lru_cache(maxsize=4096)
def black_and_white(folder: Path, suffix: str) -> tuple[float, float]:
    """The values that become 0 and 255 in the pictures of a folder that have more than 8 bits a pixel.

    All pictures of a video are scaled alike, so a few of them, spread over the folder, decide: whole numbers from 0
    on are of the fewest bits (8, 10, 12, 14, 16) that hold the largest, fractions up to 1 end at 1; anything else
    is scaled from its least to its largest value.
    """
    least, largest, whole = np.inf, -np.inf, True
    for values in _samples([path for path in images_in(folder) if path.suffix.lower() == suffix]):
        whole = whole and not np.issubdtype(values.dtype, np.floating)
        values = values[np.isfinite(values)]
        if values.size:
            least, largest = min(least, float(values.min())), max(largest, float(values.max()))
    if not np.isfinite(least):
        return 0.0, 255.0
    if least >= 0 and not whole and largest <= 1:
        return 0.0, 1.0
    if least >= 0:
        for bits in (8, 10, 12, 14, 16):
            if largest < 2**bits:
                return 0.0, 2.0**bits - 1
    return (least, largest) if largest > least else (least - 1, largest)


def _samples(files: Sequence[Path]) -> Iterator[NDArray]:
    """The values of pictures with more than 8 bits a pixel: some files, and of files of several frames some frames."""
    for path in _spread(files):
        with _opened(path) as image:
            if _is_deep(image):
                for number in _spread(_frames(image)):
                    image.seek(number)
                    yield np.asarray(image)


def _spread(items: Sequence[Item]) -> list[Item]:
    places = np.linspace(0, len(items) - 1, min(len(items), _SAMPLES)).round().astype(int)
    return [items[place] for place in places.tolist()]
