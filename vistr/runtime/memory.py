"""Memory that MindSpore would hold for nothing, given back. On a CPU: with a GPU's threads it lets go of it itself."""

from __future__ import annotations

from collections.abc import Iterable

import mindspore as ms
from mindspore import Tensor

from vistr.runtime.free_memory import give_back_free_memory
from vistr.runtime.private import drop_graphs


def release(tensors: Iterable[Tensor]) -> None:
    """Give back the memory of tensors that nobody will read again.

    On a CPU a compiled graph holds the inputs of its last call until the next one: after a training step that is a set
    of gradients and the backbone's maps.
    """
    if ms.get_context("device_target") == "CPU":
        for tensor in tensors:
            tensor.untyped_storage().resize_(0)


def forget_graphs() -> None:
    """Drop every graph that this process has compiled, for one that does nothing but compile."""
    drop_graphs()
    give_back_free_memory()
