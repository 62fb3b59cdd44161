"""Configurations that lie in files, run folders and checkpoints: plain values, of which nothing is executed.

Such a file may come from a stranger. References such as `${oc.env:HOME}` are never looked up: in a checkpoint they are
refused, in an older run's `.hydra/config.yaml` those to keys of the same file (`${seed}`) take these keys' values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vistr.config.explanations import explain
from vistr.config.old_keys import migrated
from vistr.config.schema import POLYMORPHIC, Config, section_class
from vistr.data.readers import READERS, is_generated
from vistr.data.settings import generated
from vistr.errors import UserError, shortened
from vistr.pointers import refuse_stand_in

# Far more than a composed configuration takes; reading more would take longer than a moment.
MAX_BYTES = 100_000
MAX_DEPTH = 16
_MOST_PIXELS = 5_000_000_000  # of videos that a stored configuration has generated
_REFERENCE = re.compile(r"\$\{(\.*)([\w.]+)\}")


class _Loader(yaml.SafeLoader):
    """Plain values alone, nested as far as a configuration is, and none twice by an alias: those would multiply."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name), which no composed configuration has")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested more than {MAX_DEPTH} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(file: Path) -> Any:
    """The plain values in a YAML file; None for an empty one.

    Raises UserError where it cannot be read, is larger than MAX_BYTES or holds anything but plain values.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        refuse_stand_in(file)
        if len(content) > MAX_BYTES:
            raise UserError(f"{shortened(file)} cannot be read: a run's YAML file has at most {MAX_BYTES:,} bytes.")
        return yaml.load(content.decode(), _Loader)
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{shortened(file)} cannot be read: {shortened(_first_line(error))}.") from error


def plain_config(saved: Any, source: str = "The checkpoint's configuration") -> DictConfig:
    """The stored values laid over the defaults, with the schema's types; keys that are not stored keep their default.

    Raises UserError, which begins with `source`, for anything but plain values, for a key the schema lacks and for a
    value of another type.
    """
    if isinstance(saved, dict):
        # What was typed may hold references, has its effect in the other keys, and is the run's alone.
        saved = {key: value for key, value in saved.items() if key not in ("overrides", "run_dir")}
    trouble = _not_plain(saved)
    if trouble is not None:
        raise UserError(f"{source} {trouble}: it is damaged, or no configuration that a run wrote.")
    saved = migrated(saved)
    try:
        merged = OmegaConf.merge(_defaults(saved), saved)
        OmegaConf.to_object(merged)
    except (OmegaConfBaseException, ValueError, TypeError, RecursionError, OverflowError) as error:
        reason = shortened(explain(error, ()), 160)
        raise UserError(f"{source} does not fit this version of the code: {reason}") from error
    return cast(DictConfig, merged)


def keep_from_writing(settings: DictConfig, own: DictConfig, typed: Iterable[str]) -> None:
    """Do not let stored settings choose where generated videos are written.

    Videos that already lie in the stored folder are used; others are generated in the user's `own` outputs folder. A
    dataset or folder that is typed now is left as it is.
    """
    from vistr.data.shapes import are_written  # it draws

    typed = set(typed)
    place = os.path.abspath(os.path.expanduser(f"{own.outputs}/data/shapes"))
    parts = settings.dataset.parts.items()
    pixels = 0
    for at, dataset in [("dataset", settings.dataset), *((f"dataset.parts.{name}", part) for name, part in parts)]:
        if not is_generated(dataset.name) or dataset.annotations is not None or {"dataset", at, f"{at}.root"} & typed:
            continue
        if dataset.root is None or not are_written(Path(dataset.root), **generated(dataset)):
            dataset.root = place
            length = 1 if READERS[dataset.name].pictures else dataset.video_length
            pixels += dataset.num_videos * length * dataset.height * dataset.width
    if pixels > _MOST_PIXELS:
        asked = f"{shortened(pixels, 20)} pixels of generated videos"
        raise UserError(f"The stored configuration asks for {asked}: name the videos with dataset=.")


def own_references(config: dict[str, Any]) -> dict[str, Any]:
    """A composed configuration with the values of its own keys in place of `${key}`; other references stay text."""
    return cast(dict[str, Any], _replaced(config, config, ()))


def leaves(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of nested dicts, and their values."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _defaults(saved: dict[str, Any]) -> DictConfig:
    """The default configuration, its sections of the classes that stored values name."""
    config: DictConfig = OmegaConf.structured(Config)
    for section in POLYMORPHIC:
        stored = saved.get(section)
        name = stored.get("name") if isinstance(stored, dict) else None
        if name is not None:
            config[section] = section_class(section, name)()
    return config


def _not_plain(value: Any, depth: int = 0) -> str | None:
    """What is wrong with a value that should be nested dicts with text as keys, lists, text, numbers and null."""
    if depth == 0 and not isinstance(value, dict):
        return f"is {shortened(repr(value), 40)} and not a section of keys"
    if depth > MAX_DEPTH:
        return f"is nested more than {MAX_DEPTH} deep"
    if isinstance(value, dict):
        strange = next((key for key in value if not isinstance(key, str)), None)
        if strange is not None:
            return f"has the key {shortened(repr(strange), 40)}"
        value = list(value.values())
    elif isinstance(value, list) and any(isinstance(one, list | dict) for one in value):
        return "holds a list of more than single values"
    if isinstance(value, list):
        return next((found for one in value if (found := _not_plain(one, depth + 1)) is not None), None)
    if isinstance(value, str) and ("${" in value or value == "???"):
        return f"refers to {shortened(value, 60)}, where a plain value belongs"
    if value is None or isinstance(value, str | int | float):
        return None
    return f"holds {shortened(repr(value), 40)}"


def _replaced(value: Any, config: dict[str, Any], place: tuple[str, ...], chain: int = 0) -> Any:
    """`value`, which stands in the section `place`, with its references replaced, and theirs, MAX_DEPTH in a row."""
    if len(place) > MAX_DEPTH or chain > MAX_DEPTH:
        return value
    if isinstance(value, dict):
        return {
            key: _replaced(one, config, (*place, key) if isinstance(one, dict) else place) for key, one in value.items()
        }
    if not isinstance(value, str) or len(value) > 1000:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole is not None:
        there, found = _looked_up(whole, config, place)
        return _replaced(found, config, there, chain + 1) if isinstance(found, str) and found != value else found

    def plain(part: re.Match[str]) -> str:
        # A part that is itself made of parts stays as it is: nested ones would multiply.
        text = str(_looked_up(part, config, place)[1])
        return part[0] if "${" in text else text

    return _REFERENCE.sub(plain, value)


def _looked_up(found: re.Match[str], config: dict[str, Any], place: tuple[str, ...]) -> tuple[tuple[str, ...], Any]:
    """The section that a reference leads into, and the value there; the reference itself where it leads nowhere.

    Dots in front count from the section it stands in, as OmegaConf's do.
    """
    dots, names = len(found[1]), found[2].split(".")
    path = (*place[: len(place) - dots + 1], *names) if dots else tuple(names)
    node: Any = config
    for name in path:
        if not isinstance(node, dict) or name not in node:
            return place, found[0]
        node = node[name]
    return path[:-1], found[0] if isinstance(node, dict | list) else node


def _first_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
