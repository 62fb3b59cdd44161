"""VisTR on MindSpore: `load_config` composes a configuration, `build_model` makes its network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vistr.config.compose import load_config
    from vistr.models.vistr import build_model

__version__ = "0.1.0"
__all__ = ["build_model", "load_config"]


def __getattr__(name: str) -> Any:
    # Imported on first use: mindspore takes seconds, and much of the package does not need it.
    if name == "load_config":
        from vistr.config.compose import load_config

        return load_config
    if name == "build_model":
        from vistr import gpu_runtime

        gpu_runtime.prepare()
        from vistr.models.vistr import build_model

        return build_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
