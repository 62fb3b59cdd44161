"""`metrics.jsonl`, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from vistr.runs.rows import METRICS_FILE, read_rows


def test_rows_are_read_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    lines = [
        b'{"step": 1, "epoch": 1, "kind": "train", "loss": 2.5, "grad_norm": null}',
        b'{"epoch": 1, "kind": "train", "loss": 3}',
        b'{"step": "2", "loss": 3}',
        b'{"step": true, "loss": 3}',
        b"[1, 2]",
        b'"text"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"step": 1' + b"0" * 5000 + b"}",
        b'{"step": 3, "epoch": 1, "kind": ["train"], "loss": "low", "AP": NaN, "AR1": 1e999, "AR10": 0.5}',
        b'{"step": 4, "lo',
    ]
    (tmp_path / METRICS_FILE).write_bytes(b"\n".join(lines))
    assert read_rows(tmp_path) == [
        {"step": 1, "epoch": 1, "kind": "train", "loss": 2.5, "grad_norm": None},
        {"step": 3, "epoch": 1, "AR10": 0.5},
    ]


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None])
def test_no_file_is_no_rows(make: object, tmp_path: Path) -> None:
    make(tmp_path / METRICS_FILE)  # type: ignore[operator]
    assert read_rows(tmp_path) == []
