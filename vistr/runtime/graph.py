"""Compiled functions that say when they compile: a user who waits half a minute should know what for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import mindspore as ms
from mindspore import Parameter, Tensor

from vistr.runtime.graph_cache import GraphCache
from vistr.runtime.memory import forget_graphs

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

    drops_after_call: ClassVar[bool] = False
    """Whether graphs are dropped after their first call: for a process that only compiles."""

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
        """Compile or load the graph of these shapes where that is due, and run it."""
        global _num_compiled
        kinds = tuple(None if x is None else (tuple(x.shape), x.dtype) for x in inputs)
        if kinds in self.known:
            return wait_for(self.run(*inputs))
        self.known.add(kinds)
        _num_compiled += 1
        size = "x".join(str(side) for side in inputs[0].shape) if inputs[0] is not None else "?"
        serving: AbstractContextManager[bool] = nullcontext(False)
        if self.cache is not None:
            serving = self.cache.serving(f"{self.name} {kinds} {self.settings}", self.weights)
        with serving as found:
            message = "loading %s for %s, compiled by an earlier run" if found else "compiling %s for %s, once"
            logger.log(self.level, message, self.name, size)
            out = wait_for(self.run(*inputs))
        if Graph.drops_after_call:
            forget_graphs()
        return out


def wait_for(output: Any) -> Any:
    """Block until a graph's outputs are computed, on a CPU; returns them.

    MindSpore returns lazy tensors. Reading a value, or calling the next graph, busy-waits, which takes a core from the
    computation (1 s of 3 in a training step on two cores); reading a shape blocks without spinning.
    """
    if ms.get_context("device_target") == "CPU":
        for tensor in _tensors(output):
            _ = tensor.shape
    return output


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    else:
        for part in output:
            yield from _tensors(part)
