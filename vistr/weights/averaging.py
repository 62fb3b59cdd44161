"""The mean of several networks' weights (as in arXiv 1803.05407): one network, often better than each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from vistr.errors import UserError
from vistr.weights.load import shorten


def average(networks: Iterable[tuple[Path, Mapping[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """The mean of every array over `networks` (file, its arrays by name), added up in double precision.

    They are taken one after the other, so that two are in memory at a time. UserError names the first that is
    another network.
    """
    total: dict[str, np.ndarray] = {}
    count = 0
    for path, arrays in networks:
        if not count:
            total = {name: array.astype(np.float64) for name, array in arrays.items()}
        strange = sorted(set(total) ^ set(arrays))
        strange += sorted(n for n in set(total) & set(arrays) if total[n].shape != arrays[n].shape)
        if strange:
            raise UserError(f"{path} is another network than the ones before it: {shorten(strange)} differ")
        if count:
            for name, array in arrays.items():
                total[name] += array
        count += 1
    return {name: (array / count).astype(np.float32) for name, array in total.items()}
