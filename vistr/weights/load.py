"""Strict loading of arrays into a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mindspore import nn

from vistr.errors import UserError, shortened
from vistr.layers.parameters import set_value
from vistr.weights.names import from_torch_layout, torch_name, torch_shape


def load_torch_state_dict(model: nn.Cell, arrays: Mapping[str, np.ndarray]) -> None:
    """Load the original VisTR's state dict `{name: array}` into `model`, all or nothing.

    Raises UserError that names what is missing, unused or of another shape. `num_batches_tracked` is ignored.
    """
    parameters = {torch_name(p.name): p for p in model.get_parameters()}
    offered = {name for name in arrays if not name.endswith("num_batches_tracked")}
    missing = sorted(set(parameters) - offered)
    unused = sorted(offered - set(parameters))
    misshapen = [
        f"{name} is {tuple(np.shape(arrays[name]))}, not {expected}"
        for name, p in parameters.items()
        if name in offered and tuple(np.shape(arrays[name])) != (expected := torch_shape(p.name, tuple(p.shape)))
    ]
    complaints = [
        f"{word}: {shorten(names, 1, 90)}"
        for word, names in (("missing", missing), ("unused", unused), ("misshapen", misshapen))
        if names
    ]
    if complaints:
        raise UserError("the weights do not fit this model; " + "; ".join(complaints))
    for name, parameter in parameters.items():
        set_value(parameter, from_torch_layout(arrays[name], tuple(parameter.shape)))


def shorten(names: Sequence[object], limit: int = 5, width: int = 60) -> str:
    """The first few of a list of names, each of at most `width` characters, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(shortened(name, width) for name in names[:limit]) + more


def refuse_not_finite(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """UserError that names arrays with values that are not finite."""
    with np.errstate(all="ignore"):
        # A sum is finite only where all it adds is, and half as expensive as looking at each.
        doubtful = [name for name, one in arrays.items() if one.dtype.kind == "f" and not np.isfinite(one.sum())]
    wrong = [name for name in doubtful if not np.isfinite(arrays[name]).all()]
    if wrong:
        raise UserError(
            f"{path} holds values that are not finite in {shorten(wrong, 2)}: its training diverged, or it is damaged;"
            " take another checkpoint"
        )
