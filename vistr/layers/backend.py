"""Which kernels the convolutions are built on."""

from __future__ import annotations

from typing import Literal

Backend = Literal["gather", "native"]

_current: Backend = "gather"


def use(backend: Backend) -> None:
    """Choose the kernels of every layer built from now on: "gather" (CPU) or "native" (GPU)."""
    global _current
    _current = backend


def current() -> Backend:
    """The kernels that new layers are built on."""
    return _current
