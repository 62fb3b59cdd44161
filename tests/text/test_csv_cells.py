"""Names that would be formulas."""

from __future__ import annotations

import pytest

from vistr.text.csv_cells import cells


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1+1"])
def test_texts_that_a_spreadsheet_would_compute_are_marked_as_texts(text: str) -> None:
    assert cells([text]) == [f"'{text}"]


def test_names_and_numbers_stay_as_they_are() -> None:
    row = ["car", "a=b", "汽车", 3, -0.5, "-0.5", "+1e-4", None, "", "-inf"]
    assert cells(row) == row
