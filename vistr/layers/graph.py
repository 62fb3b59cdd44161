"""Compiled functions that say when they compile: a user who waits half a minute should know what for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor

from vistr.layers.graph_cache import GraphCache

logger = logging.getLogger(__name__)
_num_compiled = 0


def num_compiled() -> int:
    """Graphs this process has compiled or loaded so far."""
    return _num_compiled


class Graph:
    """A function of tensors, compiled once for every combination of their shapes, which is announced and counted.

    With a `cache` a graph that was compiled before is loaded instead: `weights` are all parameters that the function
    may use, `settings` what it depends on beside its name, its inputs' shapes and the cache's own settings.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        weights: Iterable[Parameter] = (),
        cache: GraphCache | None = None,
        settings: object = None,
        *,
        quiet: bool = False,
    ) -> None:
        self.name, self.__wrapped__ = name, function
        self.run = ms.jit(function)
        self.weights, self.cache, self.settings = tuple(weights), cache, settings
        self.level = logging.DEBUG if quiet else logging.INFO
        self.known: set[tuple[Any, ...]] = set()

    def __call__(self, *inputs: Tensor | None) -> Any:
        """What the function returns."""
        global _num_compiled
        kinds = tuple(None if x is None else (tuple(x.shape), x.dtype) for x in inputs)
        if kinds in self.known:
            return self.run(*inputs)
        self.known.add(kinds)
        _num_compiled += 1
        size = "x".join(str(side) for side in inputs[0].shape) if inputs[0] is not None else "?"
        serving: AbstractContextManager[bool] = nullcontext(False)
        if self.cache is not None:
            serving = self.cache.serving(f"{self.name} {kinds} {self.settings}", self.weights)
        with serving as found:
            message = "loading %s for %s, compiled by an earlier run" if found else "compiling %s for %s, once"
            logger.log(self.level, message, self.name, size)
            return self.run(*inputs)
