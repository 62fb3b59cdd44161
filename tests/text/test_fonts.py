"""Text on pictures: every script in a font that has it, never a square."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from vistr.drawing.overlays import contact_sheet, draw_tracks
from vistr.files import ROOT
from vistr.text import fonts
from vistr.text.fonts import Text, drawable, fit_fonts

SCRIPTS = {
    "accents": "Fußgänger Łódź Việt",
    "Cyrillic": "Пешеход",
    "Greek": "Άνθρωπος",
    "Chinese": "汽车",
    "traditional": "漢字",
    "Japanese": "ひらがなカタカナ",
    "Korean": "자동차",
}


def drawn(text: str, size: int = 24) -> np.ndarray:
    image = Image.new("L", (40 * len(text) + 40, 60))
    Text(text, size).draw(ImageDraw.Draw(image), 4, 40, 255)  # type: ignore[arg-type]
    return np.asarray(image)


def has_font(text: str) -> bool:
    return all(fonts._font_with(character) is not None for character in text)


@pytest.mark.parametrize("script", SCRIPTS)
def test_letters_differ_and_none_is_the_square_for_a_missing_one(script: str) -> None:
    text = SCRIPTS[script]
    if not has_font(text):
        pytest.skip("neither noto-cjk-sans-otc nor a system font has these characters")
    letters = {character: drawn(character).tobytes() for character in set(text) - {" "}}
    assert len(set(letters.values())) == len(letters)
    for path in (fonts._latin(), *fonts._cjk()):
        image = Image.new("L", (80, 60))
        ImageDraw.Draw(image).text((4, 40), "\U0010fffe", 255, ImageFont.truetype(str(path), 24), anchor="ls")
        assert image.tobytes() not in letters.values()


@pytest.mark.skipif(not fonts._cjk(), reason="noto-cjk-sans-otc is not installed here")
def test_the_fonts_of_the_dependencies_have_all_these_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_system_fonts", list)
    fonts._font_with.cache_clear()
    assert all(has_font(text) for text in SCRIPTS.values())
    fonts._font_with.cache_clear()


def test_a_character_without_a_font_is_written_as_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_system_fonts", list)
    monkeypatch.setattr(fonts, "_cjk", tuple)
    fonts._font_with.cache_clear()
    assert drawable("ab 汽 \U0001f697 \ud800 ż") == "ab \\u6c7d \\U0001f697 \\ud800 ż"
    assert drawable("a\nb\tc") == "a b c"
    fonts._font_with.cache_clear()


def test_accents_of_their_own_are_drawn_on_their_letter() -> None:
    assert (
        drawn("e\u0301").tobytes() == drawn("\u00e9").tobytes()
        or (drawn("e\u0301")[:, :40] == drawn("é")[:, :40]).all()
    )


def test_a_damaged_font_of_the_system_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bad.ttf").write_bytes(b"no font")
    assert fonts._characters(tmp_path / "bad.ttf") == frozenset()


def test_width_and_height_hold_what_is_drawn() -> None:
    for text in ("Hg0 abc", *(text for text in SCRIPTS.values() if has_font(text))):
        pixels = drawn(text)
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        assert columns[-1] <= 4 + Text(text, 24).width
        assert rows[0] >= 40 - Text(text, 24).height


def test_tags_and_titles_are_drawn_in_every_script() -> None:
    frame, mask = np.zeros((200, 300, 3), np.uint8), np.zeros((200, 300), np.uint8)
    mask[80:150, 80:220] = 1
    tags = [draw_tracks(frame, [mask], labels=[label]).tobytes() for label in ("Auto", "Ауто", "Fußgänger", "\ud800\0")]
    assert len(set(tags)) == 4
    sheet = contact_sheet([("found: Пешеход", [frame])])
    assert sheet.shape[2] == 3


@pytest.mark.parametrize("text", ["Fußgänger", "Пешеход", "汽车 자동차", "a$b$c", "\U0001f697"])
def test_figures_have_no_squares_either(text: str, tmp_path: Path) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([0, 1], label=text)
    axes.set_xticks([0, 1], [drawable(text), "b"])
    axes.set_title(text)
    axes.legend()
    fit_fonts(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a missing glyph
        figure.savefig(tmp_path / "a.png")


def test_pictures_are_drawn_without_importing_figures() -> None:
    code = "import sys, vistr.drawing.pictures; print('matplotlib.figure' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
