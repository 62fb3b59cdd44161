"""Fields of settings that carry their own limits, and the check of a section by them.

A component's settings are a dataclass beside the component; `knob` declares a field with its range or choices, and a
method `check(at)` holds what concerns several fields (`at` is the section's dotted name).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from typing import Any, get_type_hints

from vistr.errors import UserError, shortened


def knob(
    default: Any,
    *,
    at_least: float | None = None,
    more_than: float | None = None,
    at_most: float | None = None,
    less_than: float | None = None,
    unit: str = "",
    choices: tuple[str, ...] = (),
    path: str = "",
    instead: str = "",
    needs: tuple[str, Callable[[Any], bool]] | None = None,
) -> Any:
    """A dataclass field with limits; of a list they hold for every entry, and null is always within them.

    `path` says that the text is a path of the user's, relative to where the command is typed: "one", "several"
    separated by commas, or "table", the name of one of ours unless it ends in .yaml. `instead` is what to tell who sets
    it for a task that does not have it. `needs` names another field of the section, and says with which of its values
    this one has an effect; with others it is refused where it is typed. A class as `default` is a nested section.
    """
    limits = {"at_least": at_least, "more_than": more_than, "at_most": at_most, "less_than": less_than}
    metadata = {**limits, "unit": unit, "choices": choices, "path": path, "instead": instead, "needs": needs}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: copy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check_section(section: Any, typed: Iterable[str] = (), at: str = "") -> None:
    """Raise a UserError that names the first key of a section out of its limits or at odds with another.

    Keys among the `typed` ones must have an effect.
    """
    for field in dataclasses.fields(section):
        key, value = f"{at}.{field.name}".lstrip("."), getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            check_section(value, typed, key)
        elif isinstance(value, dict):
            for name, one in value.items():
                check_section(one, typed, f"{key}.{name}")
        else:
            _check_value(key, value, field)
    if hasattr(section, "check"):
        section.check(at)
    for field in dataclasses.fields(section):
        _check_effect(section, field, typed, at)


def keys_with(kind: Any, name: str, at: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of a class of settings that have the metadata `name`, and what it is."""
    for field, hint in fields_of(kind):
        key = f"{at}.{field.name}".lstrip(".")
        if dataclasses.is_dataclass(hint):
            yield from keys_with(hint, name, key)
        elif field.metadata.get(name):
            yield key, field.metadata[name]


def sections_of(section: Any) -> Iterator[Any]:
    """A section of settings and all that are in it."""
    yield section
    for value in vars(section).values():
        for one in value.values() if isinstance(value, dict) else [value]:
            if dataclasses.is_dataclass(one):
                yield from sections_of(one)


def fields_of(kind: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    """The fields of a class of settings with their types, and those of the classes derived from it."""
    hints = get_type_hints(kind)
    fields = {field.name: (field, hints[field.name]) for field in dataclasses.fields(kind)}
    for derived in kind.__subclasses__():
        fields |= {field.name: (field, hint) for field, hint in fields_of(derived)}
    return list(fields.values())


def _check_value(key: str, value: Any, field: dataclasses.Field[Any]) -> None:
    limits = field.metadata
    if limits.get("path") and value == "" and field.default != "":
        raise UserError(f"{key}= is empty: give a path.")
    if limits.get("choices") and value is not None and value not in limits["choices"]:
        raise UserError(f"{key}={shortened(value)} is not one of its choices: {', '.join(limits['choices'])}.")
    entries = value if isinstance(value, list) else [value]
    if any(isinstance(entry, list | dict) for entry in entries):
        raise UserError(f"{key}={shortened(value)} has the wrong type: it must be a list of single numbers.")
    if any(isinstance(entry, float) and not math.isfinite(entry) for entry in entries):
        raise UserError(f"{key}={value} is not a finite number.")
    words = _limits_in_words(limits)
    if words and not all(entry is None or _is_within(entry, limits) for entry in entries):
        raise UserError(f"{key}={value} is out of range: it must be {words}.")


def _check_effect(section: Any, field: dataclasses.Field[Any], typed: Iterable[str], at: str) -> None:
    if not field.metadata.get("needs"):
        return
    key = f"{at}.{field.name}"
    named = next((one for one in typed if f"{one}.".startswith(f"{key}.")), None)
    if named is None:
        return
    name, has_effect = field.metadata["needs"]
    value, other = getattr(section, name), at if name == "name" else f"{at}.{name}"
    if not has_effect(value):
        choices = next(one for one in dataclasses.fields(section) if one.name == name).metadata.get("choices", ())
        good = " or ".join(f"{other}={choice}" for choice in choices if has_effect(choice))
        text = shortened(value if isinstance(value, str) else json.dumps(value))
        now = f"with {other}={text}" if text else f"without {other}="
        raise UserError(f"{named}= has no effect {now}{good and f', only with {good}'}.")


def _is_within(value: Any, limits: Mapping[str, Any]) -> bool:
    if not isinstance(value, int | float):  # a reference (${...}) in a list may be to text
        return False
    low, above, high, below = (limits[name] for name in ("at_least", "more_than", "at_most", "less_than"))
    return (
        (low is None or value >= low)
        and (above is None or value > above)
        and (high is None or value <= high)
        and (below is None or value < below)
    )


def _limits_in_words(limits: Mapping[str, Any]) -> str:
    names = (("at_least", "at least"), ("more_than", "above"), ("at_most", "at most"), ("less_than", "below"))
    parts = [f"{words} {limits[name]:g}" for name, words in names if limits.get(name) is not None]
    if limits.get("at_least") is not None and limits.get("at_most") is not None:
        parts = [f"from {limits['at_least']} to {limits['at_most']}"]
    return " and ".join(parts) + (f" {limits['unit']}" if parts and limits["unit"] else "")
