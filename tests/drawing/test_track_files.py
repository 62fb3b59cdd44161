"""results.json and tracks.csv, written piece by piece."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from vistr.data.segmentation import RLE, decode, encode, to_json, to_rle
from vistr.drawing.track_files import TrackFiles


def code(left: int, top: int) -> RLE:
    mask = np.zeros((20, 30), bool)
    mask[top : top + 3, left : left + 5] = True
    return encode(mask)


def test_results_are_json_in_the_official_format_with_null_where_a_track_is_not(tmp_path: Path) -> None:
    masks = [
        [],
        [(0, code(1, 2)), (1, code(2, 2)), (2, code(3, 2)), (3, code(4, 2))],
        [(1, code(5, 6)), (3, code(7, 6))],
        [(2, code(1, 1))],
    ]
    with TrackFiles(tmp_path) as files:
        for number, one in enumerate(masks):
            files.add_track(video_id=4, category_id=number, score=0.25 * number, masks=one, num_frames=4)
    entries = json.loads((tmp_path / "results.json").read_text())
    assert [(entry["video_id"], entry["category_id"], entry["score"]) for entry in entries] == [
        (4, number, 0.25 * number) for number in range(4)
    ]
    for entry, one in zip(entries, masks, strict=True):
        expected = [dict(one).get(frame) for frame in range(4)]
        assert entry["segmentations"] == [rle and to_json(rle) for rle in expected]
    again = to_rle(entries[1]["segmentations"][0], 20, 30)
    assert again is not None
    assert np.array_equal(decode(again), decode(code(1, 2)))


def test_rows_hold_boxes_in_pixels_of_the_frames_a_track_is_seen_in(tmp_path: Path) -> None:
    with TrackFiles(tmp_path) as files:
        files.add_frame(
            "walk, uphill", 0, [(1, "cat", 0.51234, code(4, 6)), (2, "dog", 0.3, encode(np.zeros((20, 30))))]
        )
        files.add_frame("walk, uphill", 1, [(2, "dog", 0.9, code(0, 0))])
    with (tmp_path / "tracks.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["video", "frame", "track", "category", "score", "x", "y", "width", "height"],
        ["walk, uphill", "0", "1", "cat", "0.5123", "4", "6", "5", "3"],
        ["walk, uphill", "1", "2", "dog", "0.9000", "0", "0", "5", "3"],
    ]


def test_no_tracks_are_an_empty_list(tmp_path: Path) -> None:
    with TrackFiles(tmp_path):
        pass
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / ".results.json").symlink_to("/dev/full")

    def write() -> None:
        with TrackFiles(tmp_path) as files:
            for _ in range(100):
                files.add_track(video_id=1, category_id=1, score=1, masks=[(0, code(1, 1))] * 50, num_frames=1)

    with pytest.raises(OSError, match="No space left"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_names_that_a_spreadsheet_would_compute_are_texts_in_the_table(tmp_path: Path) -> None:
    rle = encode(np.ones((4, 4), np.uint8))
    with TrackFiles(tmp_path) as files:
        files.add_frame("=1+1", 0, [(1, "@car", 0.5, rle)])
    assert (tmp_path / "tracks.csv").read_text().splitlines()[1] == "'=1+1,0,1,'@car,0.5000,0,0,4,4"
