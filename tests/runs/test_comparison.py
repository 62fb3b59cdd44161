"""Runs side by side: what differs, what came out, which is best, and what the reader gets of it."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from tests.runs.fake_runs import fake_run
from vistr.runs.comparison import Comparison, compare, differing, shown_setting
from vistr.runs.comparison_figures import as_svg, draw_curves, draw_settings, smoothed
from vistr.runs.comparison_files import write_files
from vistr.runs.comparison_page import page
from vistr.runs.comparison_tables import csv_table, markdown_table, text_table
from vistr.runs.published import PUBLISHED
from vistr.runs.runs import Run, find_runs
from vistr.runs.spread import spread_table

SIZES = {"r50": {"name": "r50", "short_side": 300}, "r101": {"name": "r101", "short_side": 280}}


def whole_page(comparison: Comparison, title: str) -> str:
    """The page with its pictures."""
    return page(comparison, title, draw_settings(comparison), draw_curves(comparison))


def make(folder: Path, backbone: str, rate: float, **others: Any) -> Path:
    typed = (f"backbone={backbone}", f"optimizer.learning_rate={rate}", "seed=3", f"outputs=/tmp/{folder.name}")
    dataset = others.pop("dataset", "shapes")
    config = {
        "backbone": SIZES[backbone],
        "optimizer": {"learning_rate": rate, "epochs": others.pop("epochs", 18)},
        "dataset": {"name": dataset},
        "seed": 3,
        "outputs": f"/tmp/{folder.name}",
    }
    return fake_run(folder, *typed, config=config, choices={"backbone": backbone, "dataset": dataset}, **others)


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    make(tmp_path / "0_a", "r50", 1e-4, figures={"AP": 0.30, "AP50": 0.5}, losses=(4.0, 3.0))
    make(tmp_path / "1_b", "r101", 1e-4, figures={"AP": 0.41, "AP50": 0.6}, losses=(4.0, 2.0))
    make(tmp_path / "2_c", "r50", 2e-4, state="failed", reason="the loss is nan | at step 3", losses=(9.0,))
    make(tmp_path / "3_d", "r101", 2e-4, state="interrupted", reason="stopped by a signal")
    return find_runs([str(tmp_path)])


def column(comparison: Comparison, heading: str) -> list[str]:
    return [row[comparison.header().index(heading)] for row in comparison.rows()]


def test_what_differs_is_what_was_typed_and_not_what_it_brings_along(runs: list[Run]) -> None:
    assert differing(runs) == ["backbone", "optimizer.learning_rate"]


def test_a_default_that_changed_in_between_is_seen(tmp_path: Path) -> None:
    for name, epochs in (("a", 18), ("b", 12)):
        make(tmp_path / name, "r50", 1e-4, epochs=epochs)
    assert differing(find_runs([str(tmp_path)])) == ["training.epochs"]


def test_the_best_comes_first_and_those_without_a_figure_last(runs: list[Run]) -> None:
    comparison = compare(runs)
    assert column(comparison, "run") == ["1_b", "0_a", "2_c", "3_d"]
    assert column(comparison, "#") == ["1", "2", "", ""]
    assert column(comparison, "AP") == ["0.410", "0.300", "-", "-"]
    assert column(comparison, "backbone") == ["r101", "r50", "r50", "r101"]
    assert column(compare(runs, "AP", "minimize"), "run")[:2] == ["0_a", "1_b"]


def test_runs_that_are_not_finished_are_listed_with_the_reason(runs: list[Run]) -> None:
    assert compare(runs).troubles() == [
        ("2_c", "failed", "the loss is nan | at step 3"),
        ("3_d", "interrupted", "before the first step"),
    ]
    for text in (text_table(compare(runs)), markdown_table(compare(runs)), whole_page(compare(runs), "x")):
        assert "the loss is nan | at step 3" in text


def test_published_rows_stand_beside_runs_on_youtube_vis_2019_only(runs: list[Run], tmp_path: Path) -> None:
    assert compare(runs).published == ()
    make(tmp_path / "real", "r50", 1e-4, dataset="ytvis2019", figures={"AP": 0.355})
    comparison = compare(find_runs([str(tmp_path)]))
    names = column(comparison, "run")
    assert len(names) == 5 + len(PUBLISHED)
    order = ["VisTR (PyTorch)", "VisTR (MindSpore)", "real", "STEm-Seg"]
    assert [name for name in names if name in order] == [order[0], order[0], order[1], order[2], order[3], order[3]]
    states = dict(zip(names, column(comparison, "state"), strict=True))
    assert states["MaskProp"] == "published"
    first = comparison.rows()[0]
    assert first[0] == ""  # the best of all is published, the best run has number 1
    assert dict(zip(comparison.header(), first, strict=True))["AP50"] == "-"
    assert "published" in csv_table(comparison)
    assert "validation set" in markdown_table(comparison)


def test_the_published_figures_are_those_of_the_table() -> None:
    rows = {(row.method, row.backbone): row.figures for row in PUBLISHED}
    assert len(rows) == 11
    assert rows["VisTR (PyTorch)", "r101"] == {
        "AP": 0.401,
        "AP50": 0.64,
        "AP75": 0.45,
        "AR1": 0.383,
        "AR10": 0.449,
        "frames_per_second_with_loading": 27.7,
    }
    assert rows["MaskProp", "r50"] == {"AP": 0.4, "AP75": 0.429}
    assert [row.figures["AP"] for row in PUBLISHED] == [
        0.261, 0.269, 0.275, 0.303, 0.306, 0.346, 0.4, 0.425, 0.362, 0.401, 0.358,
    ]  # fmt: skip


def test_the_csv_has_whole_names_and_whole_figures(runs: list[Run]) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table(compare(runs)))))
    assert rows[0]["optimizer.learning_rate"] == "0.0001"
    assert (rows[0]["run"], float(rows[0]["AP"]), rows[0]["seconds"]) == ("1_b", 0.41, "61.0")
    assert rows[2]["reason"] == "the loss is nan | at step 3"


def test_markdown_cells_stay_cells(tmp_path: Path) -> None:
    fake_run(tmp_path / "a|b")
    lines = markdown_table(compare(find_runs([str(tmp_path)]))).splitlines()
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines[:3]} == {len(re.split(r"(?<!\\)\|", lines[0]))}


def test_the_page_needs_nothing_but_itself_and_follows_light_and_dark(runs: list[Run]) -> None:
    text = whole_page(compare(runs), "r50 <b> r101")

    class Seen(HTMLParser):
        tags: dict[str, int] = {}  # noqa: RUF012 (one page)

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags[tag] = self.tags.get(tag, 0) + 1
            assert tag not in ("script", "link", "img")

    Seen().feed(text)
    assert Seen.tags["svg"] == 2
    assert Seen.tags["tr"] == 5
    assert "r50 &lt;b&gt; r101" in text
    assert "prefers-color-scheme: dark" in text
    # All the text of the pictures takes the page's colour: none is black, on a dark page unreadable.
    assert text.count("currentColor") > 20
    assert not re.search(r"<text[^>]*fill: #0{6}", text)


def test_pictures_show_every_run_that_has_something_to_show(runs: list[Run]) -> None:
    settings, curves = draw_settings(compare(runs)), draw_curves(compare(runs))
    assert isinstance(settings, Figure)
    assert isinstance(curves, Figure)
    # Both finished runs have the same learning rate: only the backbone is worth an axis.
    assert [axes.get_xlabel() for axes in settings.axes] == ["backbone"]
    assert len(curves.axes[0].lines) == 2 * 3  # raw and smoothed losses of three runs
    assert 'height="' not in as_svg(curves).partition(">")[0]


@pytest.mark.parametrize(("rates", "labelled"), [((1e-4, 2e-4, 4e-4), True), ((1e-4, 1.01e-4, 4e-4), False)])
def test_values_are_labelled_one_by_one_where_their_labels_have_room(
    tmp_path: Path, rates: tuple[float, ...], labelled: bool
) -> None:
    for number, rate in enumerate(rates):
        make(tmp_path / f"{number}", "r50", rate, figures={"AP": 0.1 * number}, losses=(4.0, 3.0))
    figure = draw_settings(compare(find_runs([str(tmp_path)])))
    assert figure is not None
    assert (figure.axes[0].get_xticks().tolist() == list(rates)) is labelled


@pytest.fixture
def seeds(tmp_path: Path) -> Comparison:
    """Two rates from three seeds each, one of which failed, and a third rate from one."""
    figures = {1e-4: (0.1, 0.2, 0.3), 2e-4: (0.4, 0.5, None), 3e-4: (0.9,)}
    for rate, values in figures.items():
        for seed, value in enumerate(values, 1):
            typed = (f"optimizer.learning_rate={rate}", f"seed={seed}")
            config = {"optimizer": {"learning_rate": rate}, "seed": seed, "dataset": {"seed": seed}}
            found = (
                {"figures": {"AP": value, "AP50": -1.0}} if value is not None else {"state": "failed", "reason": "x"}
            )
            fake_run(tmp_path / f"{rate}_{seed}", *typed, config=config, losses=(2.0, 1.0), **found)
    return compare(find_runs([str(tmp_path)]))


def test_runs_from_several_seeds_are_taken_together(seeds: Comparison) -> None:
    assert seeds.keys == ["optimizer.learning_rate", "seed"]
    header, *rows = spread_table(seeds)
    assert header == ["learning_rate", "runs", "AP", "AP50", "loss", "least to most AP"]
    assert rows == [
        ["0.0003", "1", "0.900", "-", "-", "0.900 to 0.900"],
        ["0.0002", "2", "0.450 ± 0.071", "-", "-", "0.400 to 0.500"],
        ["0.0001", "3", "0.200 ± 0.100", "-", "-", "0.100 to 0.300"],
    ]


def test_the_spread_over_seeds_is_in_every_form(seeds: Comparison) -> None:
    assert "0.450 ± 0.071" in text_table(seeds)
    assert "| 0.0001 | 3 | 0.200 ± 0.100 |" in markdown_table(seeds)
    assert "<td>0.200 ± 0.100</td>" in whole_page(seeds, "seeds")
    rows = [row for row in csv.DictReader(io.StringIO(csv_table(seeds))) if row["state"].endswith("over seeds")]
    shown = [
        (row["run"], row["optimizer.learning_rate"], row["seed"], f"{float(row['AP']):.4f}", row["AP50"])
        for row in rows
    ]
    assert shown == [
        ("2 runs", "0.0002", "", "0.4500", ""),
        ("2 runs", "0.0002", "", "0.0707", ""),
        ("3 runs", "0.0001", "", "0.2000", ""),
        ("3 runs", "0.0001", "", "0.1000", ""),
    ]
    figure = draw_settings(seeds)
    assert figure is not None
    groups, rate = figure.axes
    assert groups.get_xlabel() == "learning_rate (over seeds)"
    assert [label.get_text() for label in groups.get_xticklabels()] == ["0.0003", "0.0002", "0.0001"]
    assert [len(line.get_xdata()) for line in groups.lines if line.get_marker() == "o"] == [1, 2, 3]
    assert rate.get_xlabel().startswith("learning_rate")


def test_one_seed_each_has_no_spread(runs: list[Run]) -> None:
    assert spread_table(compare(runs)) == []
    assert "over seeds" not in csv_table(compare(runs))


def test_nothing_to_draw_draws_nothing(tmp_path: Path) -> None:
    fake_run(tmp_path / "runs" / "a", state="failed", reason="x")
    comparison = compare(find_runs([str(tmp_path / "runs")]))
    assert draw_settings(comparison) is None
    assert draw_curves(comparison) is None
    written = write_files(comparison, tmp_path / "out", "comparison", "nothing")
    assert [path.name for path in written] == ["comparison.md", "comparison.csv", "comparison.html"]


def test_smoothing_is_unbiased_from_the_first_value_on() -> None:
    assert smoothed([3.0, 3.0, 3.0]) == pytest.approx([3.0, 3.0, 3.0])
    assert smoothed([0.0, 1.0])[1] == pytest.approx(1 / 1.9)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (1e-4, "0.0001"),
        ("{here}/outputs/pretrained", "outputs/pretrained"),
        ("/elsewhere/a/long/way/down/outputs/pretrained", ".../way/down/outputs/pretrained"),
        ("/elsewhere/a_name_of_more_than_thirty_letters", "...e_of_more_than_thirty_letters"),
    ],
)
def test_a_setting_is_shown_short_and_a_path_by_whole_parts(value: Any, shown: str) -> None:
    assert shown_setting(value.format(here=Path.cwd()) if isinstance(value, str) else value) == shown
