"""Other people's weights: their names, their layouts, and loading them strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vistr.weights.load import load_torch_state_dict

__all__ = ["load_torch_state_dict"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the process that reads files does without mindspore, which takes seconds.
    if name in __all__:
        from vistr.weights.load import load_torch_state_dict

        return load_torch_state_dict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
