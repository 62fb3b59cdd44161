"""Hydra's and OmegaConf's complaints, said in one sentence that names the key."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import yaml
from hydra.errors import MissingConfigException, OverrideParseException

from vistr.config.keys import keys_by_section, no_such_key, type_of
from vistr.config.schema import Config
from vistr.errors import shortened

_LONGEST_LIST = 150  # characters: beyond them the nearest options are named
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list[int]: "a list of whole numbers, such as [400,500]",
    list[float]: "a list of numbers, such as [1.0,0.75]",
    list[str]: "a list of names, such as [person,dog]",
}


def explain(error: BaseException, overrides: Sequence[str]) -> str:
    """One sentence for what composing raised, naming the key or the override at fault."""
    if isinstance(error, OverrideParseException):
        return unreadable(error.override)
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    text = "\n".join(str(one) for one in _chain(error))
    reference = _reference_trouble(text, overrides)
    if reference is not None:
        return reference
    found = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'(?: requires|\n)", text)
    if found:
        return f"{found[1]} gives several values: add -m to run each, or write a list as [400,500]."
    found = re.search(r"already at '(.*?)'", text)
    if found:
        return f"{found[1]} exists already: write it without the +."
    found = re.search(r"Could not override '(.*?)'", text) or re.search(r"Key '.*' not in .*\s+full_key: (\S+)", text)
    if found and (study := _study_trouble(found[1], text)) is not None:
        return study
    if found:
        return no_such_key(found[1], _source(text))
    if found := re.search(r"does not support sweep type ?: (\w+)_SWEEP", text):
        kind = found[1].lower()
        override = next((one for one in overrides if f"={kind}(" in one), kind)
        return f"{shortened(override)} is a range to search in: add hydra/sweeper=search (docs/sweeps.md)."
    if "group override must be a string" in text:
        return _not_an_option(overrides)
    found = re.search(r"full_key: ([\w.]+)", text)
    if found and type_of(found[1]) is not None:
        return _wrong_type(found[1], text)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}, is no YAML: {shortened(error.problem)}."
    if isinstance(error, OSError):
        return f"The configuration cannot be composed: {error.strerror} ({shortened(error.filename)})."
    first = str(error).partition("full_key:")[0].strip() or type(error).__name__
    return f"{shortened(' '.join(overrides))} cannot be composed: {shortened(first.rstrip('.'), 160)}."


def launcher_trouble(text: str) -> str | None:
    """The sentence for a launcher or sweeper that is not installed, or has nothing to launch with here; None where
    `text` complains of something else."""
    if "Could not detect" in text and "srun" in text:
        return "There is no srun here, so this is no SLURM cluster: hydra/launcher=parallel runs jobs on this machine."
    found = re.search(r"(?:Unknown plugin class : |Could not instantiate plugin )'?hydra_plugins\.hydra_(\w+)", text)
    if found is None:
        return None
    package = f"hydra-{found[1].replace('_', '-')}"
    return f"{package} is not installed: pip install -e '.[sweeps]' brings the launchers and sweepers of conf/hydra."


def _reference_trouble(text: str, overrides: Sequence[str]) -> str | None:
    """The sentence for a `${...}` that leads nowhere; None where that is not what `text` complains of."""
    key = found[1] if (found := re.search(r"full_key: (\S+)", text)) else None
    variable = re.search(r"Environment variable '(.*?)' not found", text)
    if variable or key is None or key.startswith("hydra."):
        word = f"oc.env:{variable[1]}" if variable else "${"
        key = next((one for one in overrides if word in one), key) or "The configuration"
    key = shortened(key)
    if variable:
        return f"{key}: the environment variable {shortened(variable[1])} is not set."
    if found := re.search(r"Interpolation key '(.*?)' not found", text):
        return f"{key} refers to {shortened(found[1])}, which does not exist."
    if found := re.search(r"Unsupported interpolation type (\S+)", text):
        return f"{key} has ${{{shortened(found[1])}:...}}, which is not known here: oc.env names environment variables."
    if "Recursive interpolation" in text or "recursion" in text:
        return f"{key} refers to itself."
    group = key.partition("=")[0]
    if "${" in key and (dataclasses.is_dataclass(type_of(group)) or group == "experiments"):
        return f"{key} does not name an option: {group} takes one by its name, as {group}=<option>."
    return None


def _study_trouble(key: str, text: str) -> str | None:
    """The sentence for a study that Hydra reads as part of another section; None where `key` is no sign of that."""
    found = re.search(r"In '(experiments/.*?)': ", text)
    file = f"{found[1] if found else 'experiments'}.yaml"
    if key == "experiments" or "@experiments." in key or (found and re.fullmatch("_*globals?_*", key)):
        return (
            f"{file} lacks its first line, '# @package _global_' (or a byte order mark comes before it): without it a "
            "study sets nothing."
        )
    if key.startswith("experiments/"):
        group = shortened(key.removeprefix("experiments/").partition("@")[0])
        return f"{file}: 'override {group}' lacks a slash: write 'override /{group}'."
    return None


def unreadable(override: str | None) -> str:
    """The sentence for an override Hydra's grammar does not admit."""
    if override is None or "=" not in override[1:]:
        return f"{shortened(override)!r} cannot be read: write key=value."
    return (
        f"{shortened(override)!r} cannot be read: put a value with spaces, commas, brackets or = in two sorts of "
        "quotes, as in \"key='a, b'\"."
    )


def _wrong_type(key: str, text: str) -> str:
    hint = type_of(key)
    plain = next((one for one in get_args(hint) if one in _WORDS), hint) if hint not in _WORDS else hint
    words = _WORDS.get(plain, "a section, whose keys are set one by one")
    if type(None) in get_args(hint):
        words += " or null"
    override = re.search(r"Error merging override (.*)", text)
    given = shortened(override[1]) if override else key
    return f"{given} has the wrong type{_source(text)}: {key} must be {words}."


def _missing_option(error: MissingConfigException) -> str:
    missing = error.missing_cfg_file or ""
    group, _, option = missing.rpartition("/")
    groups = [section.replace(".", "/") for section, _ in keys_by_section(Config) if section]
    if known := [name for name in (*groups, "experiments") if missing.startswith(f"{name}/")]:
        group = max(known, key=len)
        option = shortened(missing[len(group) + 1 :])
    options = sorted(name for name in error.options or () if not name.startswith("_"))
    if not options and group.startswith("hydra/"):
        return f"There is no {group}={option}: pip install -e '.[sweeps]' brings what conf/hydra has options for."
    if not options:
        return " ".join(str(error).partition("Config search path")[0].split())
    listed = ", ".join(options)
    if len(listed) > _LONGEST_LIST:
        near = difflib.get_close_matches(option, options, n=1)
        hint = f"did you mean {near[0]}?" if near else f"{', '.join(options[:5])} ..."
        return f"{group}={option} is not one of its {len(options)} options: {hint}"
    return f"{group}={option} is not one of its options: {listed}."


def _not_an_option(overrides: Sequence[str]) -> str:
    sections = [section for section, _ in keys_by_section(Config) if section]
    for override in overrides:
        key, _, value = override.partition("=")
        if key in (*sections, "experiments") and not re.search("[A-Za-z]", value.replace("null", "")):
            return f"{shortened(override)} does not name an option: {key} takes one by its name, as {key}=<option>."
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
