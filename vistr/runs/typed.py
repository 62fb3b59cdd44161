"""A run's settings as TensorBoard shows them: those that were typed as values, all of them as text."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import yaml

from vistr.config import Config
from vistr.config.compose import to_dict
from vistr.config.overrides import unquoted
from vistr.config.run_names import override_key
from vistr.config.schema import is_path


def typed_values(overrides: Sequence[str]) -> dict[str, bool | float | str]:
    """What was typed, by key, for TensorBoard's HParams: numbers as numbers, so that it can sort and colour by them.

    Where runs lie and what they go on with is left out: it would be a column that differs in every run.
    """
    values: dict[str, bool | float | str] = {}
    for override in overrides:
        key = override_key(override)
        if is_path(key) and key not in ("task.checkpoint", "init"):
            continue
        text = unquoted(override)
        value: Any = text
        with suppress(yaml.YAMLError):
            value = yaml.safe_load(text)
        if isinstance(value, str):
            with suppress(ValueError):
                value = float(value)  # YAML takes 1e-4 for text
        values[key] = value if isinstance(value, bool | int | float) else text
    return values


def run_settings(config: Config) -> str:
    """The configuration as Markdown, for TensorBoard."""
    return f"```yaml\n{yaml.safe_dump(to_dict(config), sort_keys=False)}```"
