"""The keys that a configuration has, and what is said of one that it lacks."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf, open_dict

from vistr.config.run_names import override_key
from vistr.config.schema import OPTIONS, OVERLAID, POLYMORPHIC, Config
from vistr.errors import UserError, shortened
from vistr.files import PROGRAM
from vistr.knobs import fields_of


def no_such_key(key: str, source: str = "") -> str:
    """The sentence for a key the schema lacks, with the nearest one it has."""
    sections = dict(keys_by_section(Config))
    if key == "dataset.of":
        return f"dataset.of={source} is for the command line: a study lists /dataset@dataset.parts.<name>: <option>."
    if (part := re.match(r"dataset\.parts\.([^.]+)", key)) and type_of(key) is not None:
        return f"There is no {part[0]}{source}: dataset.of= says which parts dataset=mix has."
    section, _, last = key.rpartition(".")
    sections |= {section: sections["dataset"]} if part and section == part[0] else {}
    if (theirs := _options_with(section, last)) and type_of(key) is not None:
        return f"{shortened(key)}{source} belongs to {theirs}, and another {section} is chosen."
    known = [f"{prefix}.{name}" if prefix else name for prefix, names in sections.items() for name in names]
    same = [name for name in known if name.rpartition(".")[2] == last]
    groups = () if section else ("experiments",)
    near = difflib.get_close_matches(last, [*sections.get(section, ()), *groups], n=1)
    if same or near:
        hint = f"did you mean {same[0] if same else f'{section}.{near[0]}'.lstrip('.')}?"
    elif section and section in sections:
        hint = f"{section} has {', '.join(sections[section])}."
    else:
        hint = f"`{PROGRAM} --cfg job` prints all there are."
    return f"There is no key {shortened(key)}{source}: {hint}"


def refuse_unknown_keys(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Raise a UserError for the first key of a composed configuration that its classes lack."""
    key = _unknown_key(composed)
    if key is None:
        return
    typed = {override_key(one) for one in overrides}
    studies = [one.partition("=")[2] for one in overrides if override_key(one) == "experiments"]
    raise UserError(no_such_key(key, f" (in experiments/{studies[0]}.yaml)" if studies and key not in typed else ""))


def _unknown_key(composed: DictConfig, at: str = "") -> str | None:
    """The first key of a composed configuration that its classes lack (`+key=value` can add one)."""
    known = get_type_hints(OmegaConf.get_type(composed))
    for name in map(str, composed):
        if name not in known:
            return at + name
        inner = {name: composed[name]} if dataclasses.is_dataclass(known[name]) else {}
        if get_origin(known[name]) is dict:
            inner = {f"{name}.{one}": section for one, section in composed[name].items()}
        for place, section in inner.items():
            if (key := _unknown_key(section, f"{at}{place}.")) is not None:
                return key
    return None


def without_other_options_keys(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Take keys of other tasks and schedules out of a composed configuration: a study sets those of its own, for all.

    Raises UserError where such a key was typed.
    """
    typed = {override_key(one) for one in overrides}
    for group in OVERLAID:
        section, own = composed[group], get_type_hints(OmegaConf.get_type(composed[group]))
        for key in [str(key) for key in section if key not in own and type_of(f"{group}.{key}") is not None]:
            if f"{group}.{key}" in typed:
                raise UserError(_of_another_option(group, key, section.name))
            with open_dict(section):
                del section[key]


def _of_another_option(group: str, key: str, chosen: str) -> str:
    fields = [field for one in OPTIONS[group].values() for field in dataclasses.fields(one) if field.name == key]
    hint = next((f"; {field.metadata['instead']}" for field in fields if field.metadata.get("instead")), "")
    word = key if group == "task" else f"{group}.{key}"
    return f"{word}= belongs to {_options_with(group, key)} and has no effect on {group}={chosen}{hint}."


def _options_with(group: str, key: str) -> str:
    """The options of a group of several classes that have a key, in words."""
    options = OPTIONS[group] if group in POLYMORPHIC else {}
    return " and ".join(f"{group}={name}" for name, one in options.items() if hasattr(one, key))


def type_of(key: str) -> Any:
    """The type the schema gives a dotted key; None where it has no such key."""
    hint: Any = Config
    for name in key.split("."):
        if get_origin(hint) is dict:
            hint = get_args(hint)[1]
        else:
            hint = _keys_of(hint).get(name) if dataclasses.is_dataclass(hint) else None
    return hint


def is_known(key: str) -> bool:
    """Whether a dotted key, or a group of options, is one of this project's."""
    return key == "experiments" or type_of(key) is not None


def keys_by_section(schema: Any, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """The dotted name of every section, with its keys; the root's name is empty."""
    hints = _keys_of(schema)
    yield prefix, list(hints)
    for name, hint in hints.items():
        if dataclasses.is_dataclass(hint):
            yield from keys_by_section(hint, f"{prefix}.{name}" if prefix else name)


def _keys_of(section: Any) -> dict[str, Any]:
    """The keys of a class of settings, and of those derived from it that its options are of, with their types."""
    return {field.name: hint for field, hint in fields_of(section)}
