"""The official YouTube-VIS figures of anyone's results, and a table to read them in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vistr.evaluation.accumulation import FIGURES, category_curves, figures
from vistr.evaluation.assignment import GroupMatches, match_group
from vistr.evaluation.reading import Contents, read

_COLUMNS = ("AP", "AP50", "AP75", "AR1", "AR10")


@dataclass(frozen=True)
class Evaluation:
    """figures: the 12 official figures in [0, 1], -1 where undefined (no object of that kind in the truth).

    per_category: by category id, for categories with truth or results, `name`, `num_truth` (crowds
    included), `num_results` (those that count, at most 100 a video) and the same 12 figures.
    warnings: what was scored but looks like a mistake.
    """

    figures: dict[str, float]
    per_category: dict[int, dict[str, Any]]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The evaluation as plain values for a JSON file."""
        return asdict(self)

    def table(self) -> str:
        """The figures and a row a category as text, undefined figures as a dash."""
        names = list(FIGURES)
        lines = ["  ".join(f"{name:>5}" for name in half) for half in (names[:6], names[6:])]
        values = ["  ".join(f"{_shown(self.figures[name]):>5}" for name in half) for half in (names[:6], names[6:])]
        text = [lines[0], values[0], "", lines[1], values[1]]
        if self.per_category:
            width = max(len("category"), *(len(row["name"]) for row in self.per_category.values()))
            head = "  ".join([f"{'category':<{width}}", "objects", "results", *(f"{name:>5}" for name in _COLUMNS)])
            text += ["", head]
        for row in self.per_category.values():
            cells = [f"{row['name']:<{width}}", f"{row['num_truth']:>7}", f"{row['num_results']:>7}"]
            text.append("  ".join([*cells, *(f"{_shown(row[name]):>5}" for name in _COLUMNS)]))
        return "\n".join([*text, *(["", *(f"Warning: {line}" for line in self.warnings)] if self.warnings else [])])


def evaluate(truth: Mapping[str, Any] | str | Path, results: list[Any] | str | Path) -> Evaluation:
    """Score results against the truth, both as YouTube-VIS files or their contents, which stay unchanged.

    The figures equal those of the official evaluation (youtubevos/cocoapi), oddities included: frames beyond
    the shorter of two tracks do not count, masks of another size drop out, object sizes come from the
    annotations' `areas`. Where the official code crashes UserError names the file and entry (a result of an
    unknown video, without score, or with masks that are not compressed RLE; an annotation without `areas` or
    `iscrowd`; runs that do not fill a mask), with one exception: an empty list of results scores 0.
    """
    return evaluate_contents(read(truth, results))


def evaluate_contents(contents: Contents) -> Evaluation:
    """`evaluate` for what has been read already."""
    groups: dict[int, list[GroupMatches]] = defaultdict(list)
    for video, category in sorted(contents.truth.keys() | contents.results.keys()):
        key = (video, category)
        groups[category].append(match_group(contents.truth.get(key, []), contents.results.get(key, [])))
    curves = {category: category_curves(groups[category]) for category in contents.categories if category in groups}
    per_category = {
        category: {
            "name": contents.categories[category],
            "num_truth": sum(group.num_truth for group in groups[category]),
            "num_results": sum(len(group.scores) for group in groups[category]),
            **figures([curves[category]]),
        }
        for category in curves
    }
    return Evaluation(figures(list(curves.values())), per_category, contents.suspicions.lines())


def _shown(value: float) -> str:
    return "-" if value < 0 else f"{value:.3f}"
