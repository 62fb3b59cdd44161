"""Checksums of arrays find what changed."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from vistr.weights.checksums import CHECKSUMS, crc32, crc32_of_sums


@pytest.fixture
def array() -> np.ndarray:
    """400 KB, with some bytes after its whole rows."""
    return np.random.default_rng(0).standard_normal((100, 1001)).astype(np.float32)


def test_sums_of_the_columns_are_what_is_checked(array: np.ndarray) -> None:
    words = np.frombuffer(array.tobytes()[: 98 * 509 * 8], np.uint64).tolist()
    sums = [sum(words[column::509]) % 2**64 for column in range(509)]
    checked = b"a <f4 (100, 1001)" + np.array(sums, np.uint64).tobytes() + array.tobytes()[98 * 509 * 8 :]
    assert crc32_of_sums("a", array) == zlib.crc32(checked)
    assert crc32_of_sums("a", array[:5]) == crc32("a", array[:5])


@pytest.mark.parametrize("kind", CHECKSUMS)
def test_every_change_is_found(kind: str, array: np.ndarray) -> None:
    checksum = CHECKSUMS[kind]
    sound = checksum("a", array)
    assert checksum("a", array.copy()) == sound
    changed = [checksum("b", array), checksum("a", array.T), checksum("a", array.view(np.int32))]
    data = array.view(np.uint8).reshape(-1)
    for place in (0, 3, 4071, 4072, 200_000, len(data) - 1):
        for bit in (1, 128):
            turned = data.copy()
            turned[place] ^= bit
            changed.append(checksum("a", turned.view(np.float32).reshape(array.shape)))
    for start, other in ((0, 4096), (4096, 8192), (0, 65536), (8192, 131072)):
        moved = data.copy()
        moved[start : start + 4096] = data[other : other + 4096]
        moved[other : other + 4096] = data[start : start + 4096]
        changed.append(checksum("a", moved.view(np.float32).reshape(array.shape)))
        zeroed = data.copy()
        zeroed[start : start + 4096] = 0
        changed.append(checksum("a", zeroed.view(np.float32).reshape(array.shape)))
    assert sound not in changed


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,)])
@pytest.mark.parametrize("kind", CHECKSUMS)
def test_arrays_of_no_or_one_number_have_one_too(kind: str, shape: tuple[int, ...]) -> None:
    assert isinstance(CHECKSUMS[kind]("a", np.ones(shape, bool)), int)
