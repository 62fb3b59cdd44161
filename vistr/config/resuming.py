"""`resume=`: a run goes on with the settings it was started with, and with what is typed beside them laid over."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf

from vistr.config.keys import is_known
from vistr.config.old_keys import migrated, renamed
from vistr.config.run_names import override_key
from vistr.config.schema import PATH_KEYS, PATH_LIST_KEYS, POLYMORPHIC
from vistr.config.stored import keep_from_writing, leaves, own_references, plain_config, read_yaml
from vistr.errors import UserError, shortened
from vistr.files import PROGRAM, is_file, is_folder, replacing
from vistr.hub import is_remote

log = logging.getLogger(__name__)

SETTINGS = "settings.yaml"
_HEADER = "# Every setting of this run, as values; resume= goes on with them.\n"
# A resumed run's own, whatever its folder says.
_PER_SESSION = ("run_dir", "resume", "init", "overrides")


def run_of(resume: Path) -> Path:
    """The folder of the run that `resume=` names, or whose checkpoint it names."""
    inside = is_file(resume) and resume.parent.name == "checkpoints"
    return resume.parent.parent if inside else resume


def require_run(resume: Path) -> Path:
    """The folder of the run that `resume=` names; UserError where it is none, or has nothing to go on from."""
    folder = run_of(resume)
    if not any(is_file(folder / name) for name in (SETTINGS, ".hydra/config.yaml")):
        what = f"it has no {SETTINGS}" if is_folder(folder) else "there is no such folder"
        raise UserError(f"resume={shortened(resume)} is not the folder of a run: {what}.")
    return folder


def require_checkpoint(resume: Path, overrides: Sequence[str]) -> None:
    """UserError where the run that `resume=` names has saved nothing to go on from; `overrides` started it."""
    folder = run_of(resume) / "checkpoints"
    if is_file(resume) or is_file(folder / "last.safetensors"):
        return
    others = (
        sorted(folder.glob("[!.]*.safetensors"), key=lambda path: path.stat().st_mtime) if is_folder(folder) else []
    )
    if others:
        raise UserError(
            f"{shortened(folder)} has no last.safetensors: resume={shortened(others[-1])} goes on from there."
        )
    typed = " ".join(one for one in overrides if override_key(one) != "resume")
    raise UserError(
        f"resume={shortened(run_of(resume))}: the run ended before it had saved anything; start it anew:"
        f" {PROGRAM} {shortened(typed)}"
    )


def typed_beside(overrides: Sequence[str], folder: Path) -> list[str]:
    """What was typed beside `resume=`, without the study that the run was started with.

    Raises UserError for another study: it sets up a run from scratch.
    """
    studies = [override for override in overrides if override_key(override) == "experiments"]
    known = [one for one in recorded_overrides(folder) if override_key(one) == "experiments"]
    if studies and studies[-1:] != known[-1:]:
        raise UserError(
            f"{shortened(studies[-1])} sets up a run from scratch, but resume= goes on with the settings of its run: "
            "leave experiments= out and set single keys."
        )
    return [override for override in overrides if override not in studies]


def lay_over(
    composed: DictConfig, overrides: Sequence[str], folder: Path
) -> tuple[DictConfig, list[str], list[tuple[str, Any, Any]]]:
    """The stored settings of the run in `folder` with the typed keys of a composed configuration laid over.

    Returns the settings, the overrides of the run so far and what is typed now, and each setting that this changes,
    with its value now and before. Raises UserError where the stored settings are damaged.
    """
    stored = plain_config(stored_settings(folder), f"The configuration of {shortened(folder)}")
    stored.init = None  # the weights it began with are no longer its own
    settings = cast(DictConfig, OmegaConf.merge(stored))
    new: dict[str, Any] = OmegaConf.to_container(composed, resolve=False)  # type: ignore[assignment]
    typed = {override_key(override): override for override in overrides}
    for key in typed:
        if key in POLYMORPHIC:
            settings[key] = composed[key]  # with its class
        else:
            OmegaConf.update(settings, key, _value(new, key))
    keep_from_writing(settings, composed, typed)
    recorded = recorded_overrides(folder)
    strange = [one for one in recorded if not is_known(override_key(one))]
    if strange:
        log.info("resume=: left out of what its folder says was typed: %s", shortened(", ".join(strange), 200))
    kept = [one for one in recorded if one not in strange and override_key(one) not in (*typed, "init", "resume")]
    return settings, [*kept, *overrides], _changes(stored, settings)


def stored_settings(folder: Path) -> dict[str, Any]:
    """The settings in a run's folder, as plain values; UserError where they cannot be read."""
    file = folder / SETTINGS
    if is_file(file):
        content = read_yaml(file)
        if not isinstance(content, dict):
            raise UserError(f"{shortened(file)} is damaged: it is no list of settings.")
        return migrated({key: value for key, value in content.items() if key not in _PER_SESSION})
    # An older run's: as composed, and its paths relative to where it was started.
    content = read_yaml(folder / ".hydra" / "config.yaml")
    if not isinstance(content, dict):
        raise UserError(f"{shortened(folder / '.hydra' / 'config.yaml')} is damaged: it is no list of settings.")
    settings = migrated(own_references({key: value for key, value in content.items() if key not in _PER_SESSION}))
    try:
        stood_in = Path(read_yaml(folder / ".hydra" / "hydra.yaml")["hydra"]["runtime"]["cwd"])
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        damaged = shortened(folder / ".hydra" / "hydra.yaml")
        raise UserError(f"{damaged} is damaged: it does not say where the run was started.") from error
    for key in PATH_KEYS:
        section, _, name = key.rpartition(".")
        owner = settings.get(section) if section else settings
        value = owner.get(name) if isinstance(owner, dict) else None
        if isinstance(owner, dict) and isinstance(value, str) and value and not is_remote(value):
            paths = value.split(",") if key in PATH_LIST_KEYS else [value]
            owner[name] = ",".join(str(stood_in / Path(path).expanduser()) for path in paths)
    return settings


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings of the run in `folder`, whole or not at all."""
    kept = {key: value for key, value in settings.items() if key not in ("run_dir", "resume")}
    # By way of JSON: YAML would write a list that stands in two places as a reference.
    plain = json.loads(json.dumps(kept))
    with replacing(folder / SETTINGS) as draft:
        draft.write_text(_HEADER + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), encoding="utf-8")


def difference(folder: Path, settings: dict[str, Any]) -> str | None:
    """The first setting of the run in `folder` that is not as in `settings`, in words; None where all are the same."""
    now = dict(leaves(settings))
    for key, value in leaves(stored_settings(folder)):
        if key not in (*_PER_SESSION, "outputs") and key in now and now[key] != value:
            return f"{key}={shortened(value, 40)}, not {shortened(now[key], 40)}"
    return None


def recorded_overrides(folder: Path) -> list[str]:
    """The overrides that a run was started with, for the record: they are not composed again."""
    content = None
    if is_file(folder / SETTINGS):
        settings = read_yaml(folder / SETTINGS)
        content = settings.get("overrides") if isinstance(settings, dict) else None
    elif is_file(folder / ".hydra" / "overrides.yaml"):
        content = read_yaml(folder / ".hydra" / "overrides.yaml")
    return [renamed(one) for one in content if isinstance(one, str)] if isinstance(content, list) else []


def _value(content: dict[str, Any], key: str) -> Any:
    node: Any = content
    for name in key.split("."):
        node = node[name]
    return node


def _changes(before: DictConfig, after: DictConfig) -> list[tuple[str, Any, Any]]:
    old, new = (dict(leaves(_plain(config))) for config in (before, after))
    not_said = (*_PER_SESSION, "outputs")
    return [(key, value, old.get(key)) for key, value in new.items() if key not in not_said and value != old.get(key)]


def _plain(config: DictConfig) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
