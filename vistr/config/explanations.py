"""Hydra's and OmegaConf's complaints, said in one sentence that names the key."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_type_hints

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig

from vistr.config.schema import Config

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list[int]: "a list of whole numbers, such as [400,500]",
    list[str]: "a list of names, such as [person,dog]",
}


def explain(error: BaseException, overrides: Sequence[str]) -> str:
    """One sentence for what composing raised, naming the key or the override at fault."""
    if isinstance(error, OverrideParseException):
        return unreadable(error.override)
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    text = "\n".join(str(one) for one in _chain(error))
    found = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'(?: requires|\n)", text)
    if found:
        return f"{found[1]} gives several values: add -m to run each, or write a list as [400,500]."
    found = re.search(r"already at '(.*?)'", text)
    if found:
        return f"{found[1]} exists already: write it without the +."
    found = re.search(r"Could not override '(.*?)'", text) or re.search(r"Key '.*' not in .*\s+full_key: (\S+)", text)
    if found:
        return no_such_key(found[1], _source(text))
    found = re.search(r"Interpolation key '(.*?)' not found\s+full_key: (\S+)", text)
    if found:
        return f"{found[2]} refers to {found[1]}, which does not exist."
    if "group override must be a string" in text:
        return _not_an_option(overrides)
    found = re.search(r"full_key: ([\w.]+)", text)
    if found and type_of(found[1]) is not None:
        return _wrong_type(found[1], text)
    return " ".join(str(error).split())


def missing_plugin(text: str) -> str | None:
    """The sentence for a launcher or sweeper that is not installed; None where `text` complains of something else."""
    found = re.search(r"(?:Unknown plugin class : |Could not instantiate plugin )'?hydra_plugins\.hydra_(\w+)", text)
    if found is None:
        return None
    package = f"hydra-{found[1].replace('_', '-')}"
    return f"{package} is not installed: pip install -e '.[sweeps]' brings the launchers and sweepers of conf/hydra."


def unreadable(override: str | None) -> str:
    """The sentence for an override Hydra's grammar does not admit."""
    if override is None or "=" not in override[1:]:
        return f"{override!r} cannot be read: write key=value."
    return (
        f"{override!r} cannot be read: put a value with spaces, commas, brackets or = in two sorts of "
        "quotes, as in \"key='a, b'\"."
    )


def no_such_key(key: str, source: str = "") -> str:
    """The sentence for a key the schema lacks, with the nearest one it has."""
    sections = dict(_sections(Config))
    section, _, last = key.rpartition(".")
    known = [f"{prefix}.{name}" if prefix else name for prefix, names in sections.items() for name in names]
    same = [name for name in known if name.rpartition(".")[2] == last]
    near = difflib.get_close_matches(last, sections.get(section, ()), n=1)
    if same or near:
        hint = f"did you mean {same[0] if same else f'{section}.{near[0]}'.lstrip('.')}?"
    elif section and section in sections:
        hint = f"{section} has {', '.join(sections[section])}."
    else:
        hint = "`python run.py --cfg job` prints all there are."
    return f"There is no key {key}{source}: {hint}"


def unknown_key(composed: DictConfig) -> str | None:
    """The first key of a composed configuration that the schema lacks (`+key=value` can add one)."""
    for section, known in _sections(Config):
        node: Any = composed
        for name in filter(None, section.split(".")):
            node = node[name]
        for name in node:
            if name not in known:
                return f"{section}.{name}" if section else str(name)
    return None


def type_of(key: str) -> Any:
    """The type the schema gives a dotted key; None where it has no such key."""
    hint: Any = Config
    for name in key.split("."):
        hint = get_type_hints(hint).get(name) if dataclasses.is_dataclass(hint) else None
    return hint


def _wrong_type(key: str, text: str) -> str:
    hint = type_of(key)
    plain = next((one for one in get_args(hint) if one in _WORDS), hint) if hint not in _WORDS else hint
    words = _WORDS.get(plain, "a section, whose keys are set one by one")
    if type(None) in get_args(hint):
        words += " or null"
    override = re.search(r"Error merging override (.*)", text)
    given = override[1] if override else key
    return f"{given} has the wrong type{_source(text)}: {key} must be {words}."


def _missing_option(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = sorted(name for name in error.options or () if not name.startswith("_"))
    if not options and group.startswith("hydra/"):
        return f"There is no {group}={option}: pip install -e '.[sweeps]' brings what conf/hydra has options for."
    if not options:
        return " ".join(str(error).partition("Config search path")[0].split())
    return f"{group}={option} is not one of its options: {', '.join(options)}."


def _not_an_option(overrides: Sequence[str]) -> str:
    sections = [section for section, _ in _sections(Config) if section]
    for override in overrides:
        key, _, value = override.partition("=")
        if key in (*sections, "experiments") and not re.search("[A-Za-z]", value.replace("null", "")):
            return f"{override} does not name an option: {key} takes one by its name, as {key}=<option>."
    nameless = [override for override in overrides if override.startswith("=")]
    return unreadable((nameless or [" ".join(overrides)])[0])


def _source(text: str) -> str:
    """Where the fault lies, if in a file rather than in what was typed."""
    found = re.search(r"In '(.*?)': ", text)
    return f" (in {found[1]}.yaml)" if found and found[1] != "config" else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _sections(schema: Any, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    hints = get_type_hints(schema)
    yield prefix, list(hints)
    for name, hint in hints.items():
        if dataclasses.is_dataclass(hint):
            yield from _sections(hint, f"{prefix}.{name}" if prefix else name)
