"""Masks as run-length codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vistr.data.run_lengths import run_length_sums
from vistr.data.segmentation import (
    area,
    compressed_rles,
    decode,
    encode,
    rle_size,
    sequence_iou,
    to_json,
    to_rle,
)


def blobs(seed: int, height: int = 37, width: int = 53) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).random((height // 4 + 1, width // 4 + 1)) < 0.4
    return np.kron(coarse, np.ones((4, 4))).astype(np.uint8)[:height, :width]


def box(x0: int, x1: int, height: int = 10, width: int = 20) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    mask[2:8, x0:x1] = 1
    return mask


@pytest.mark.parametrize("seed", range(20))
def test_a_mask_survives_encoding_json_and_reading(seed: int) -> None:
    mask = blobs(seed)
    written = to_json(encode(mask))
    assert isinstance(written["counts"], str)
    read = to_rle(written, 37, 53)
    assert read is not None
    assert read == encode(mask)
    assert np.array_equal(decode(read), mask)
    assert area(read) == mask.sum()


def test_uncompressed_compressed_str_and_bytes_give_the_same_mask() -> None:
    mask = blobs(3)
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    counts = runs if flat[0] == 0 else [0, *runs]
    compressed = encode(mask)
    for code in ({"size": [37, 53], "counts": counts}, compressed, to_json(compressed)):
        assert to_rle(code, 37, 53) == compressed


def test_polygons_are_united() -> None:
    rle = to_rle([[1, 1, 5, 1, 5, 5, 1, 5], [3, 3, 8, 3, 8, 8, 3, 8]], 10, 10)
    assert rle is not None
    expected = np.zeros((10, 10), np.uint8)
    expected[1:5, 1:5] = expected[3:8, 3:8] = 1
    assert np.array_equal(decode(rle), expected)


@pytest.mark.parametrize("absent", [None, {}, []])
def test_nothing_written_is_an_absent_object(absent: object) -> None:
    assert to_rle(absent, 10, 10) is None


def test_an_empty_mask_is_present_with_no_area() -> None:
    rle = to_rle(to_json(encode(np.zeros((4, 6), np.uint8))), 4, 6)
    assert rle is not None
    assert area(rle) == 0


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ("abc", "list of polygons"),
        (7, "list of polygons"),
        ([[1, 2, 3, 4]], "at least 3 points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "at least 3 points"),
        ([1, 2, 3, 4, 5, 6], "at least 3 points"),
        ([[1, 2, 3, 4, 5, float("nan")]], "finite"),
        ([[1, 2, 3, 4, 5, "6"]], "finite"),
        ([[1, 2, 3, 4, 5, 1e12]], "finite"),
        ({"counts": [10]}, "size"),
        ({"size": [10], "counts": [10]}, "size"),
        ({"size": [10, 10]}, "counts"),
        ({"size": [10, 10], "counts": [99]}, "cover 99"),
        ({"size": [10, 10], "counts": []}, "cover 0"),
        ({"size": [10, 10], "counts": [2**62, 2**62, 2**62, 2**62, 100]}, "cover 8589934692"),
        ({"size": [10, 10], "counts": [10**400]}, "cover 2147483648"),
        ({"size": [10, 10], "counts": [60, -10, 50]}, "run lengths"),
        ({"size": [10, 10], "counts": [99.5, 0.5]}, "run lengths"),
        ({"size": [5, 20], "counts": [100]}, "size"),
        ({"size": [10, 10], "counts": ""}, "cut short"),
        ({"size": [10, 10], "counts": "\x01"}, "cut short"),
        ({"size": [10, 10], "counts": "é"}, "characters"),
        ({"size": [10, 10], "counts": "ooooooooo0"}, "longer than any mask"),
    ],
)
def test_what_is_no_mask_is_refused_with_a_reason(segmentation: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        to_rle(segmentation, 10, 10)


def test_every_way_of_cutting_compressed_counts_short_is_refused() -> None:
    written = to_json(encode(blobs(5)))
    for length in range(len(written["counts"])):
        with pytest.raises(ValueError, match=r"cut short|cover"):
            to_rle({**written, "counts": written["counts"][:length]}, 37, 53)


def test_many_compressed_masks_are_read_at_once() -> None:
    rng = np.random.default_rng(0)
    masks = [blobs(seed) for seed in range(20)]
    masks += [np.zeros((37, 53), np.uint8), np.ones((37, 53), np.uint8), rng.integers(0, 2, (37, 53)).astype(np.uint8)]
    codes = [to_json(encode(mask)) for mask in masks]
    written: list[Any] = [None, *codes, {}, codes[0], []]
    assert compressed_rles(written, 37, 53) == [to_rle(code, 37, 53) for code in written]
    assert compressed_rles([None, None], 37, 53) == [None, None]
    large = encode(np.kron(masks[0], np.ones((30, 30), np.uint8)))
    packed = [large["counts"], encode(masks[1])["counts"]]
    assert run_length_sums(b"".join(packed), [len(code) for code in packed]).tolist() == [37 * 53 * 900, 37 * 53]


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [37, 53], "counts": [37 * 53]},
        {"size": [53, 37], "counts": to_json(encode(blobs(1)))["counts"]},
        {"size": [37, 53], "counts": to_json(encode(blobs(1)))["counts"][:-1]},
        {"size": [37, 53], "counts": ""},
        {"size": [37, 53], "counts": "é"},
        {"size": [37, 53], "counts": "\x01"},
        {"size": [37, 53], "counts": "ooooooooo0"},
        {"size": [37, 53], "counts": "Xm1O"},
        [[1, 1, 5, 1, 5, 5]],
        "mask",
        7,
    ],
)
def test_one_mask_that_is_not_plain_leaves_all_to_the_slow_way(wrong: Any) -> None:
    assert compressed_rles([to_json(encode(blobs(0))), wrong], 37, 53) is None


def test_rle_size_reads_what_the_code_says() -> None:
    assert rle_size({"size": [3, 4], "counts": "x"}) == (3, 4)
    bad: Any
    for bad in (None, [], {"size": None}, {"size": [3, -4]}, {"size": [3, True]}):
        with pytest.raises(ValueError, match="size"):
            rle_size(bad)


def test_sequence_iou_agrees_with_counting_pixels() -> None:
    first = [[blobs(seed + frame) for frame in range(5)] for seed in (0, 10)]
    second = [[blobs(seed + frame) for frame in range(5)] for seed in (0, 20, 30)]
    iou, union = sequence_iou(
        [[encode(mask) for mask in masks] for masks in first],
        [[encode(mask) for mask in masks] for masks in second],
    )
    for row, ours in enumerate(first):
        for column, theirs in enumerate(second):
            a, b = np.stack(ours), np.stack(theirs)
            assert union[row, column] == (a | b).sum()
            assert iou[row, column] == (a & b).sum() / (a | b).sum()


def test_sequence_iou_counts_a_frame_with_one_mask_into_the_union() -> None:
    mask = encode(box(0, 10))
    iou, union = sequence_iou([[mask, None, mask, None]], [[mask, mask, None, None]])
    assert iou[0, 0] == 1 / 3
    assert union[0, 0] == 180


def test_sequence_iou_stops_with_the_shorter_sequence() -> None:
    mask = encode(box(0, 10))
    iou, _ = sequence_iou([[mask], [mask, mask], []], [[mask, mask, mask], [mask]])
    assert np.array_equal(iou, [[1, 1], [1, 1], [0, 0]])


def test_sequence_iou_leaves_frames_of_different_sizes_out() -> None:
    small, large = encode(box(0, 10)), encode(box(0, 10, height=12))
    elsewhere, nothing = encode(box(15, 20, height=12)), encode(np.zeros((12, 20)))
    iou, union = sequence_iou([[small, small]], [[small, large], [small, elsewhere], [large, nothing]])
    assert np.array_equal(iou, [[1, 1, 0]])
    assert np.array_equal(union, [[60, 60, 0]])


def test_sequence_iou_of_a_repeated_sequence_is_that_of_each() -> None:
    one, other = [encode(box(2, 8)), None], [encode(box(4, 12)), encode(box(1, 5))]
    repeated = sequence_iou([one, other], [one, other, one, other])
    alone = sequence_iou([one, other], [one, other])
    for several, single in zip(repeated, alone, strict=True):
        assert np.array_equal(several, np.concatenate([single, single], axis=1))


def test_sequence_iou_of_nothing_is_empty() -> None:
    assert sequence_iou([], [[None]])[0].shape == (0, 1)
    assert sequence_iou([[None]], [])[0].shape == (1, 0)


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[0, 0, 999999, 999999] * 10], "outline is far longer"),
        ([[0, 0, 30, 20] * 40_000], "outline is far longer"),
        ([[0, 0, 30, 0, 30, 20]] * 200_000, "outline is far longer"),
        ([[1, 2, 3, 4, 5, 10**400]], "not a finite number"),
        ([[1, 2, 3, 4, 5, True]], "not a finite number"),
        ({"size": [20, 30], "counts": [2**63 - 1, 2**63 - 1, 602]}, "cover"),
        ({"size": [20, 30], "counts": [10**30]}, "cover"),
    ],
)
def test_codes_and_outlines_that_ask_for_all_memory_are_refused_at_once(segmentation: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        to_rle(segmentation, 20, 30)


def test_a_mask_whose_runs_do_not_fit_32_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="70000x70000 pixels is none, or too large"):
        to_rle({"size": [70000, 70000], "counts": [4900000000]}, 70000, 70000)


def test_an_outline_as_fine_as_a_picture_allows_is_taken() -> None:
    # A comb whose teeth are a pixel apart, in a picture of 640x360.
    comb = [value for x in range(0, 640, 2) for value in (x, 10, x, 350, x + 1, 350, x + 1, 10)]
    rle = to_rle([[*comb, 640, 0, 0, 0]], 360, 640)
    assert rle is not None
    assert area(rle) > 10_000
