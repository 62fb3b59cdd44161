"""Run lengths that stay text, and the sums of compressed codes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from vistr.data.run_lengths import loads_annotations, run_length_sums
from vistr.data.segmentation import to_rle


@pytest.mark.parametrize("spaces", ["", " ", "\n  "])
def test_run_lengths_that_stay_text_give_the_mask_of_the_list(spaces: str) -> None:
    code = {"size": [37, 53], "counts": [300, 20, 1641]}
    text = json.dumps({"segmentations": [code, None]}).replace(", ", f",{spaces}").replace("[3", f"[{spaces}3")
    content = loads_annotations(text.encode())
    assert isinstance(content["segmentations"][0]["counts"], list if "\n" in spaces else str)
    assert to_rle(content["segmentations"][0], 37, 53) == to_rle(code, 37, 53)


@pytest.mark.parametrize(
    "counts", [[], [5, 5], [10**30], [2**62, 2**62, 2**62, 2**62, 100], [1.5, 2], [-1, 101], [[3]]]
)
def test_wrong_run_lengths_are_refused_as_text_too(counts: list[Any]) -> None:
    content = loads_annotations(json.dumps({"size": [10, 10], "counts": counts}).encode())
    with pytest.raises(ValueError, match=r"cover|run lengths"):
        to_rle(content, 10, 10)


@pytest.mark.filterwarnings("ignore:string or file could not be read")
@pytest.mark.parametrize("counts", ["[100,]", "[,100]", "[50 50]", "[50,,50]"])
def test_run_lengths_that_are_no_json_are_refused(counts: str) -> None:
    content = loads_annotations(f'{{"size": [10, 10], "counts": {counts}}}'.encode())
    with pytest.raises(ValueError, match="a string or a list of run lengths"):
        to_rle(content, 10, 10)


@pytest.mark.parametrize(
    "text", ["", "{", '{"counts": [1, 2], "size": [3 4]}', "[1, 2", "\xff", '{"a": NaN, "a": [1]}']
)
def test_everything_else_is_read_as_json_reads_it(text: str) -> None:
    outcomes = []
    for loads in (json.loads, loads_annotations):
        try:
            outcomes.append(loads(text.encode("latin-1")))
        except ValueError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def plain_sum(code: bytes) -> int | None:
    """The pixels a compressed code covers, read digit by digit; None where it is none."""
    runs: list[int] = []
    number = shift = 0
    for digit in (character - 48 for character in code):
        if not 0 <= digit < 64 or shift > 30:
            return None
        number |= (digit & 31) << shift
        shift += 5
        if digit < 32:
            number -= (digit >> 4) << shift
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number = shift = 0
    return sum(runs) if runs and not shift and min(runs) >= 0 else None


def compressed(numbers: list[int]) -> bytes:
    """The digits of numbers, 5 bits each, the lowest first."""
    code = bytearray()
    for number in numbers:
        while not -16 <= number < 16:
            code.append(48 + 32 + (number & 31))
            number >>= 5
        code.append(48 + (number & 31))
    return bytes(code)


def test_sums_of_runs_are_those_of_reading_digit_by_digit() -> None:
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(1500):
        codes = []
        for _ in range(rng.integers(1, 5)):
            runs = rng.integers(0, 10 ** rng.integers(1, 10), rng.integers(1, 8)).tolist()
            numbers = [run - (runs[k - 2] if k > 2 else 0) for k, run in enumerate(runs)]
            code = bytearray(compressed([number * int(rng.choice([1, 1, 1, 1, 1, -1])) for number in numbers]))
            if rng.random() < 0.1:
                code[rng.integers(len(code))] = rng.integers(256)
            codes.append(bytes(code))
        expected = [plain_sum(code) for code in codes]
        if None in expected:
            refused += 1
            with pytest.raises(ValueError, match=r"the RLE's counts"):
                run_length_sums(b"".join(codes), [len(code) for code in codes])
        else:
            assert run_length_sums(b"".join(codes), [len(code) for code in codes]).tolist() == expected
    assert 300 < refused < 1200
