"""Runs side by side as one HTML page that needs nothing but itself, light or dark as the reader's browser is."""

from __future__ import annotations

from html import escape

from matplotlib.figure import Figure

from vistr.runs.comparison import Comparison
from vistr.runs.comparison_figures import as_svg
from vistr.runs.published import NOTE
from vistr.runs.spread import CAPTION, spread_table

_STYLE = """
:root { color-scheme: light dark; --text: #1d2127; --faint: #5c6570; --back: #ffffff; --line: #d9dde2;
        --mark: #eef3fb; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e3e6ea; --faint: #9aa4af; --back: #15181c; --line: #343a42; --mark: #1f2a3a; }
}
body { margin: 2rem auto; max-width: 76rem; padding: 0 1.2rem; color: var(--text); background: var(--back);
       font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
p, li { color: var(--faint); max-width: 60rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th { font-weight: 600; }
table:not(.spread) :is(th, td):nth-last-child(-n+2) { text-align: left; }
tr.best td { background: var(--mark); font-weight: 600; }
tr.published td, tr.unfinished td { color: var(--faint); }
tr.published td { font-style: italic; }
svg { max-width: 100%; height: auto; color: var(--text); font-family: inherit; }
code { font-family: ui-monospace, monospace; font-size: .92em; }
"""


def page(comparison: Comparison, title: str, settings: Figure | None, curves: Figure | None) -> str:
    """The page: the table, what is not finished and why, the figure against each setting, the learning curves."""
    goal = "highest" if comparison.direction == "maximize" else "lowest"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(comparison.runs)} runs, the {goal} {comparison.optimize} first.</p>",
    ]
    parts.append(f'<div class="wide">{_table(comparison)}</div>')
    if spread := spread_table(comparison):
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in spread[1:])
        head = "".join(f"<th>{escape(cell)}</th>" for cell in spread[0])
        table = f'<table class="spread"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        parts.append(f'<h2>{escape(CAPTION)}</h2><div class="wide">{table}</div>')
    if comparison.published:
        parts.append(f"<p>{escape(NOTE)}</p>")
    troubles = comparison.troubles()
    if troubles:
        items = "".join(f"<li><code>{escape(n)}</code>: {escape(s)}, {escape(r)}</li>" for n, s, r in troubles)
        parts.append(f"<h2>Not finished</h2><ul>{items}</ul>")
    if settings is not None:
        parts.append(f"<h2>{escape(comparison.optimize)} against what differs</h2>{as_svg(settings)}")
    if curves is not None:
        parts.append(f"<h2>Learning curves</h2>{as_svg(curves)}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _table(comparison: Comparison) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in comparison.header())
    lines = []
    for row in comparison.rows():
        kind = {"published": "published", "finished": "", "unknown": ""}.get(row[-2], "unfinished")
        kind = "best" if row[0] == "1" else kind
        lines.append(f'<tr class="{kind}">' + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
