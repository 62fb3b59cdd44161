"""Run lengths as files write them: lists of numbers, which stay text until they are used, and compressed codes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistr.errors import shown

_RUN_LISTS = re.compile(rb'"counts"\s*:\s*\[([0-9, ]*)\]')
RUNS_AS_TEXT = ","  # begins a list that is text, and no compressed code


def loads_annotations(data: bytes) -> Any:
    """What `json.loads` gives, but for lists of run lengths: they stay text, which `to_rle` takes as well.

    60 million numbers, as many as YouTube-VIS has, take 2 GB and several seconds as Python's.
    """
    try:
        return json.loads(run_lengths_as_text(data))
    except ValueError:
        return json.loads(data)  # its errors name places of the file as it is


def run_lengths_as_text(data: bytes) -> bytes:
    """A JSON text with lists of run lengths as strings that `to_rle` takes."""
    return _RUN_LISTS.sub(rb'"counts":"' + RUNS_AS_TEXT.encode() + rb'\1"', data)


def run_lengths_in(text: str) -> NDArray[np.int64]:
    """The numbers of a list that `run_lengths_as_text` made a string; ValueError where they are none."""
    text = text.removeprefix(RUNS_AS_TEXT)
    if not text.strip():
        return np.zeros(0, np.int64)
    # NumPy stops where it cannot go on: a number that ends the text, 7, says whether it came through.
    found: NDArray[np.int64] = np.fromstring(text + ",7", np.int64, sep=",")
    if len(found) != text.count(",") + 2 or found[-1] != 7:
        raise ValueError(f"an RLE's counts are a string or a list of run lengths, not {shown(text)}")
    return found[:-1]


def run_length_sums(codes: bytes, lengths: Sequence[int]) -> NDArray[np.int64]:
    """The pixels that each of several compressed codes covers; `codes` are joined, `lengths` are each one's bytes.

    From the fourth run of a code on, a run is written as its difference from the one two before. Raises ValueError for
    a code that no mask has.
    """
    digits = np.frombuffer(codes, np.uint8) - np.uint8(48)
    ends = np.cumsum(lengths)
    if not min(lengths, default=0) or digits.max() > 63 or (digits[ends - 1] & 32).any():
        raise ValueError("the RLE's counts are cut short or hold characters that no RLE has")
    written, starts = _written_runs(digits, ends)
    # The second difference is taken from the second run on: the first run stands alone.
    sums: NDArray[np.int64] = written[starts[:-1]]
    shortest = sums.min()
    written[starts[:-1]] = 0
    # Runs outside the masks and runs inside are summed up through all codes, then each code's beginning is taken off.
    for parity in (0, 1):
        every_other = written[parity::2]
        summed = np.zeros(len(every_other) + 2, np.int64)
        summed[1:-1] = every_other
        np.cumsum(summed, out=summed)
        places = (starts + 1 - parity) // 2
        before, counts = summed[places[:-1]], np.diff(places)
        least, total = (operation.reduceat(summed, places + 1)[:-1] for operation in (np.minimum, np.add))
        shortest = min(shortest, np.where(counts, least - before, 0).min())
        sums += np.where(counts, total - before * counts, 0)
    if shortest < 0:
        raise ValueError("the RLE's counts hold a run of less than no pixel")
    return sums


def _written_runs(digits: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers that codes are made of, and where those of each code start, with their end.

    A digit has 5 bits, the lowest first; bit 5 says that more follow, bit 4 of a number's last digit is the sign.
    """
    continued = digits >= 32
    numbers = ((digits[~continued] ^ np.uint8(16)).view(np.int8) - np.int8(16)).astype(np.int64)
    places = np.flatnonzero(continued)
    starts = np.append(0, ends - np.searchsorted(places, ends))
    if len(places):
        # A number has one last digit: the digits that more follow, of all before a place, are not counted.
        number = places - np.arange(len(places))
        first = np.flatnonzero(np.diff(number, prepend=-1))
        more = np.diff(first, append=len(places))
        if more.max() > 6:
            raise ValueError("the RLE's counts hold a run longer than any mask")
        shifts = 5 * (np.arange(len(places)) - np.repeat(first, more))
        lower = np.add.reduceat((digits[places] & np.uint8(31)).astype(np.int64) << shifts, first)
        numbers[number[first]] = (numbers[number[first]] << 5 * more) + lower
    return numbers, starts
