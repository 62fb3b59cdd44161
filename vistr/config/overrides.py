"""Typed overrides made ready for Hydra: paths quoted, keys of the task given their section."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from vistr.config.old_keys import renamed
from vistr.config.resuming import require_run, typed_beside
from vistr.config.run_names import override_key
from vistr.config.schema import is_path
from vistr.errors import UserError, shortened

_PLAIN = re.compile(r"^[A-Za-z0-9_./-]*$")
_SWEEP = re.compile(r"^(choice|glob|sort|shuffle|tag)\(")


def ready(overrides: Sequence[str], *, sweep: bool = False) -> list[str]:
    """The overrides as Hydra reads them: any path works as typed.

    `min_score=0.3` and other keys of the task may stand without their section, and `dataset.of=[shapes,ovis]` stands
    for Hydra's way to say that: `+dataset@dataset.parts.shapes=shapes`, and so on.

    With `sweep`, commas in a path separate values. Raises UserError where `resume` names no run, and for keys
    that are not for the user to set.
    """
    for override in overrides:
        _refuse(override)
    quoted = [_quote_path(one, sweep) for override in overrides for one in _parts(renamed(override))]
    resume = next((override for override in reversed(quoted) if override_key(override) == "resume"), None)
    if resume is None or not is_resume(resume):
        return quoted
    if sweep:
        raise UserError("resume= goes on with one run: leave out -m (--multirun).")
    return typed_beside(quoted, require_run(Path(unquoted(resume)).expanduser()))


def stored_parts(overrides: Sequence[str]) -> list[str]:
    """Overrides that make room for the keys of a mixture's parts that are typed beside a checkpoint or a run, whose
    settings say what the parts are."""
    keys = [override_key(one) for one in overrides]
    names = dict.fromkeys(key.split(".")[2] for key in keys if key.startswith("dataset.parts.") and key.count(".") > 2)
    if {"dataset", "experiments"} & {*keys}:
        return []
    return [f"+dataset@dataset.parts.{name}=shapes" for name in names if f"dataset.parts.{name}" not in keys]


def leave_out_of_names(overrides: Sequence[str]) -> str:
    """The override that keeps what is the same in every job of a sweep out of the jobs' folder names.

    Of two overrides of one key the last counts.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    swept = {override_key(one.input_line or ""): one.is_sweep_override() for one in parsed}
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(key for key in swept if not swept[key])}]"


def require_values(overrides: Sequence[str]) -> None:
    """UserError where a sweep over a key has no value in it, such as `seed=range(3,1)`."""
    for one in OverridesParser.create().parse_overrides(list(overrides)):
        if one.is_sweep_override() and one.is_discrete_sweep() and not any(True for _ in one.sweep_iterator()):
            raise UserError(f"{shortened(one.input_line)} has no values: there is nothing to run.")


def is_resume(override: str) -> bool:
    """Whether the override names a run to go on with."""
    return override_key(override) == "resume" and unquoted(override) not in ("null", "")


def unquoted(override: str) -> str:
    """The value of an override without Hydra's quotes."""
    value = override.partition("=")[2]
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1].replace(f"\\{value[0]}", value[0])
    return value


def path_override(key: str, path: str) -> str:
    """An override that sets `key` to a path, whatever characters the path has."""
    if _PLAIN.match(path):
        return f"{key}={path}"
    escaped = path.replace("'", "\\'")
    return f"{key}='{escaped}'"


def _refuse(override: str) -> None:
    if override.startswith("~"):
        raise UserError(f"{override}: keys cannot be removed, only set to another value.")
    if override_key(override) in ("run_dir", "overrides"):
        raise UserError(f"{override}: the run fills that key in itself; outputs= is the folder runs lie in.")


def _parts(override: str) -> list[str]:
    """The overrides that `dataset.of=[shapes,small:shapes]` stands for, each entry an option or name:option; any other
    override as it is."""
    if override_key(override) != "dataset.of":
        return [override]
    entries = re.fullmatch(r"\[([^\[\]]+)\]", unquoted(override).replace(" ", ""))
    names = [entry.partition(":")[::2] for entry in entries[1].split(",")] if entries else []
    if not names or not all(re.fullmatch(r"[A-Za-z]\w*", name) and re.fullmatch(r"\w*", of) for name, of in names):
        raise UserError(
            f"{shortened(override)} cannot be read: list datasets, each as <option> or <name>:<option>, such as"
            " dataset.of=[shapes,small:shapes]."
        )
    twice = next((name for i, (name, _) in enumerate(names) if name in dict(names[:i])), None)
    if twice is not None:
        raise UserError(f"{shortened(override)} names {shortened(twice)} twice: give each a name, as <name>:<option>.")
    return [f"+dataset@dataset.parts.{name}={of or name}" for name, of in names]


def _quote_path(override: str, sweep: bool) -> str:
    """Quote a path: Hydra's grammar takes `=`, `~`, commas and brackets for its own."""
    key, equals, value = override.partition("=")
    its_key = override_key(override)
    if not (is_path(its_key) or its_key in ("hydra.run.dir", "hydra.sweep.dir")) or not equals:
        return override
    if value[:1] in ("'", '"') or (sweep and _SWEEP.match(value)):
        return override
    paths = value.split(",") if sweep else [value]
    return f"{key}=" + ",".join(path_override("", path)[1:] for path in paths)
