"""Text on pictures in any script: each character in the first font that has it, no squares.

DejaVu Sans comes with matplotlib (Latin, Greek, Cyrillic, Arabic and more), Noto Sans CJK with the package
noto-cjk-sans-otc (Chinese, Japanese, Korean); what neither has is looked for in the system's fonts, once. A character
that no font has is written as its code, such as \\u1234.
"""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageDraw, ImageFont

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Color = tuple[int, int, int]
_LATIN = "fonts/ttf/DejaVuSans.ttf"
_CJK = ("noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc")
# Faces of several styles are installed side by side: these are the ones to read labels in.
_STYLES = ("regular", "medium", "book", "normal", "roman")
_ELSEWHERE = ("bold", "italic", "oblique", "mono", "serif", "condensed", "light", "thin", "black", "last")


class Text:
    """A line of text at one size, ready to be measured and drawn."""

    def __init__(self, text: str, size: int) -> None:
        self._runs = [(run, _sized(path, size)) for run, path in _runs(text)]
        self._letters = _sized(_latin(), size)

    @property
    def width(self) -> int:
        """Pixels from the first character's start to the last one's end."""
        return round(sum(font.getlength(run) for run, font in self._runs))

    @property
    def height(self) -> int:
        """Pixels above the base line, at least those of a capital letter."""
        tallest = min(font.getbbox(text, anchor="ls")[1] for text, font in [*self._runs, ("Hg0", self._letters)])
        return -round(tallest)

    def draw(self, draw: ImageDraw.ImageDraw, x: float, baseline: float, color: Color) -> None:
        """Draw the text from x on, its letters standing on the base line."""
        for run, font in self._runs:
            draw.text((x, baseline), run, color, font, anchor="ls")
            x += font.getlength(run)


def fit_fonts(figure: Figure) -> None:
    """Give every text of a figure the fonts that its characters need; call it when the figure is complete."""
    from matplotlib.text import Text as FigureText  # figures take long to import, and few tasks draw any

    for text in figure.findobj(FigureText):
        content = text.get_text()
        text.set_parse_math(False)  # a name may hold a dollar
        if not content.isascii():
            text.set_text(drawable(content))
            text.set_fontfamily(_families(content))


def drawable(text: str) -> str:
    """The text with the codes of those characters that no font has."""
    return "".join(run for run, _ in _runs(text))


def _families(text: str) -> list[str]:
    paths = list(dict.fromkeys([_latin(), *(path for _, path in _runs(text))]))
    for path in paths:
        font_manager.fontManager.addfont(str(path))
    return [font_manager.FontProperties(fname=str(path)).get_name() for path in paths]


def _runs(text: str) -> Iterator[tuple[str, Path]]:
    """Stretches of text with the font for each."""
    placed: list[tuple[str, Path]] = []
    for character in unicodedata.normalize("NFC", re.sub(r"\s", " ", text)):
        font = _font_with(character)
        # A combining mark belongs to the letter before it.
        if placed and unicodedata.combining(character) and ord(character) in _characters(placed[-1][1]):
            font = placed[-1][1]
        if font is None:
            placed += [(one, _latin()) for one in _escaped(character)]
        else:
            placed.append((character, font))
    for path, group in groupby(placed, lambda pair: pair[1]):
        yield "".join(character for character, _ in group), path


def _escaped(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Mn"):
        return ""  # nothing to be seen: line ends, directions, variants
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


@lru_cache(maxsize=4096)
def _font_with(character: str) -> Path | None:
    code = ord(character)
    if unicodedata.category(character) in ("Cc", "Cs"):
        return None
    for path in (_latin(), *_cjk()):
        if code in _characters(path):
            return path
    return next((path for path in _system_fonts() if code in _characters(path)), None)


@lru_cache
def _latin() -> Path:
    return Path(matplotlib.get_data_path()) / _LATIN


@lru_cache
def _cjk() -> tuple[Path, ...]:
    package, name = _CJK
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / name if spec is not None and spec.origin else None
    return (path,) if path is not None and path.is_file() else ()


@lru_cache
def _system_fonts() -> list[Path]:
    def preference(path: Path) -> tuple[bool, bool, str]:
        style = path.stem.lower()
        return not any(one in style for one in _STYLES), any(one in style for one in _ELSEWHERE), style

    return sorted((Path(path) for path in font_manager.findSystemFonts()), key=preference)


@lru_cache(maxsize=256)
def _characters(path: Path) -> frozenset[int]:
    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except Exception:  # a font of the system that is damaged, or of a kind FreeType does not read
        return frozenset()


@lru_cache(maxsize=256)
def _sized(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)
