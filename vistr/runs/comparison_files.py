"""The files a comparison of runs leaves."""

from __future__ import annotations

from pathlib import Path

from vistr.runs.comparison import Comparison
from vistr.runs.comparison_figures import draw_curves, draw_settings
from vistr.runs.comparison_page import page
from vistr.runs.comparison_tables import csv_table, markdown_table


def write_files(comparison: Comparison, folder: Path, stem: str, title: str) -> list[Path]:
    """Write `<stem>.md`, `.csv`, `.html` and, where there is what to draw, `<stem>_settings.png` and `_curves.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    pictures = []
    settings, curves = draw_settings(comparison), draw_curves(comparison)
    for kind, figure in (("settings", settings), ("curves", curves)):
        path = folder / f"{stem}_{kind}.png"
        path.unlink(missing_ok=True)
        if figure is not None:
            figure.savefig(path)
            pictures.append(path)
    links = "".join(f"\n![{path.stem.rpartition('_')[2]}]({path.name})\n" for path in pictures)
    texts = {
        "md": f"# {title}\n\n{markdown_table(comparison)}{links}",
        "csv": csv_table(comparison),
        "html": page(comparison, title, settings, curves),
    }
    for ending, text in texts.items():
        path = folder / f"{stem}.{ending}"
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return [*written, *pictures]
