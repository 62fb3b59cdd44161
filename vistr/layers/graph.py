"""Compiled functions that say when they compile: a user who waits half a minute should know what for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import mindspore as ms
from mindspore import Tensor

logger = logging.getLogger(__name__)
_num_compiled = 0


def num_compiled() -> int:
    """Graphs this process has compiled so far."""
    return _num_compiled


class Graph:
    """A function of tensors, compiled once for every combination of their shapes, which is announced and counted."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self.__wrapped__ = name, function
        self.run = ms.jit(function)
        self.known: set[tuple[Any, ...]] = set()

    def __call__(self, *inputs: Tensor | None) -> Any:
        """What the function returns."""
        global _num_compiled
        shapes = tuple(None if x is None else tuple(x.shape) for x in inputs)
        if shapes not in self.known:
            self.known.add(shapes)
            _num_compiled += 1
            size = "x".join(str(side) for side in inputs[0].shape) if inputs[0] is not None else "?"
            logger.info("compiling %s for %s, once", self.name, size)
        return self.run(*inputs)
