"""The memory of this process."""

from __future__ import annotations

import ctypes

import numpy as np

_LARGEST_KEPT = 30 << 20  # glibc goes up to 32 MB


def keep_free_memory() -> None:
    """Have the C library keep freed arrays of up to 30 MB for those that come next.

    At first it gives all over 128 KB back at once, and the system clears every page of the next array: half the time of
    work on arrays of some 100 KB. From a larger one that is freed glibc learns to keep what is as large.
    """
    np.empty(_LARGEST_KEPT, np.uint8)


def give_back_free_memory() -> None:
    """Give freed memory back to the system: the C library keeps what lies between pieces in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)
