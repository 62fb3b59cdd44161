"""VisTR on MindSpore: `load_config` composes a configuration, `build_model` makes its network, `load_predictor`
finds the tracks of what `open_video` reads, `draw` shows them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vistr.config.compose import load_config
    from vistr.data.sources import open_video
    from vistr.drawing.frames import draw
    from vistr.inference.loading import load_predictor
    from vistr.models.build import build_model

__version__ = "0.2.0"
__all__ = ["build_model", "draw", "load_config", "load_predictor", "open_video"]


_HOMES = {
    "build_model": "vistr.models.build",
    "draw": "vistr.drawing.frames",
    "load_config": "vistr.config.compose",
    "load_predictor": "vistr.inference.loading",
    "open_video": "vistr.data.sources",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: mindspore takes seconds, and much of the package does not need it.
    if name in _HOMES:
        if name in ("build_model", "load_predictor"):
            from vistr.runtime import gpu_runtime

            gpu_runtime.prepare()
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
