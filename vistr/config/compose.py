"""Overrides in, checked configuration out: the same for run.py, notebooks and checkpoints."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vistr.config import overrides as typed
from vistr.config.checks import check
from vistr.config.command import Sources
from vistr.config.explanations import explain
from vistr.config.keys import refuse_unknown_keys, without_other_options_keys
from vistr.config.old_keys import move_in_studies
from vistr.config.resuming import lay_over, run_of
from vistr.config.run_names import override_key, register_resolvers
from vistr.config.schema import FOLLOWING, OPTIONS, OVERLAID, POLYMORPHIC, Config
from vistr.config.search_path import register_studies
from vistr.config.stored import plain_config
from vistr.errors import UserError, shortened
from vistr.files import CONF
from vistr.hub import is_remote
from vistr.knobs import sections_of

log = logging.getLogger(__name__)

# What composing raises when the user's keys or files are at fault; ValueError and TypeError are Hydra's own.
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError, RecursionError)

# What a checkpoint fixes, and the keys in there that do not shape the network.
MODEL_KEYS = ("backbone", "transformer", "num_frames", "num_instances", "sequence_head")
FREE_KEYS = ("backbone.short_side", "backbone.long_side", "backbone.drop_path", "transformer.dropout")


# What this process composes from, also where a task composes once more.
_sources = Sources()
# The options that Hydra's store holds already: building their nodes takes as long as composing from them.
_stored: dict[tuple[str, str], Any] = {}


def prepare(sources: Sources | None = None) -> None:
    """Make the schema and the resolvers known to Hydra, and compose from `sources` from now on."""
    global _sources
    if sources is not None:
        _sources = sources
    store = ConfigStore.instance()
    if not _stored:
        # For every group on the page of --help Hydra copies the store, though what it takes out of it is a copy.
        ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
        schema = OmegaConf.structured(Config)
        for section in POLYMORPHIC:
            schema[section] = MISSING  # the option brings its class
        store.store("schema", schema)
    for group, options in OPTIONS.items():
        for name, option in options.items():
            if _stored.get((group, name)) is option:
                continue
            node = OmegaConf.merge(OmegaConf.structured(option), FOLLOWING.get((group, name), {}))
            if group in OVERLAID or group == "optimizer":  # see `without_other_options_keys` and `move_in_studies`
                OmegaConf.set_struct(node, False)
            store.store(name, node, group=group)
            _stored[group, name] = option
    register_resolvers()
    register_studies()


def load_config(overrides: Sequence[str] = ()) -> Config:
    """The configuration `python run.py <overrides>` runs with; `run_dir` stays None.

    Raises UserError, one sentence that names the key, for anything wrong with it; where a dataset lies is asked when
    it is read.
    """
    return load_run(overrides, with_dataset=False)[0]


def load_run(overrides: Sequence[str], *, with_dataset: bool = True) -> tuple[Config, Path]:
    """The configuration of `python run.py <overrides>`, and the folder that hydra.run.dir names for it.

    `with_dataset=False` does not ask where a dataset lies.
    """
    ready = typed.ready(overrides)
    composed = compose(ready, with_hydra=True)
    plain = copy.copy(composed)
    with open_dict(plain):
        del plain["hydra"]
    kept = [override for override in ready if not override.startswith("hydra.")]
    config = finish(plain, kept, with_dataset=with_dataset)
    if config.resume is not None:
        return config, run_of(Path(config.resume))
    with conversion_errors(ready):
        if not composed.hydra.run.dir:
            raise UserError("hydra.run.dir= is empty: it names the run's folder.")
        return config, Path(composed.hydra.run.dir).absolute()


def compose_sweep(overrides: Sequence[str]) -> DictConfig:
    """What `python run.py -m <overrides>` sweeps over, Hydra's own section included; its jobs are composed later."""
    return compose(overrides, RunMode.MULTIRUN)


def finish(
    composed: DictConfig, overrides: list[str], run_dir: str | None = None, *, with_dataset: bool = True
) -> Config:
    """A composed configuration as checked dataclasses, its paths absolute; with `resume=`, that of the run named.

    What is typed beside `resume=` is laid over the settings the run was started with, and said.
    """
    typed_keys = [override_key(override) for override in overrides]
    if composed.get("resume"):
        composed, overrides = _resumed(composed, overrides)
    config = to_dataclasses(composed, overrides)
    config.overrides = overrides
    config.run_dir = run_dir
    if getattr(config.task, "checkpoint", None):
        # Beside a checkpoint keys of network and dataset are laid over its settings, and checked with these.
        typed_keys = [key for key in typed_keys if key.partition(".")[0] not in (*MODEL_KEYS, "dataset")]
    check(config, typed_keys, with_dataset=with_dataset and config.task.name != "evaluate")
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as plain nested dicts, for JSON and for checkpoints."""
    return dataclasses.asdict(config)


def from_dict(saved: dict[str, Any]) -> Config:
    """The configuration a checkpoint carries; keys it lacks take their defaults."""
    return cast(Config, OmegaConf.to_object(plain_config(saved)))


def _resumed(composed: DictConfig, overrides: list[str]) -> tuple[DictConfig, list[str]]:
    with conversion_errors(overrides):
        move_in_studies(composed, overrides)
    without_other_options_keys(composed, overrides)
    refuse_unknown_keys(composed, overrides)
    with conversion_errors(overrides):
        folder = run_of(Path(composed.resume).expanduser())
    settings, overrides, changes = lay_over(composed, overrides, folder)
    words = []
    for key, *values in changes:
        now, before = (shortened(value, 40) for value in values)
        if key.partition(".")[0] in MODEL_KEYS and key not in FREE_KEYS:
            raise UserError(f"{key}={now} contradicts the run, which has {key}={before}.")
        words.append(f"{key}={now} (was {before})")
    if words:
        log.info("laid over the settings that the run was started with: %s", shortened(", ".join(words), 1000))
    return settings, overrides


def compose(overrides: Sequence[str], mode: RunMode = RunMode.RUN, *, with_hydra: bool = False) -> DictConfig:
    """What Hydra composes from overrides made ready; UserError for what it refuses."""
    main = _sources.main or CONF
    if not (main / f"{_sources.name.removesuffix('.yaml')}.yaml").is_file():
        if _sources != Sources():
            raise UserError(f"There is no {_sources.name}.yaml in {shortened(main)}.")
        raise UserError(f"There is no {main}: install vistr anew.")
    prepare()
    version.setbase("1.3")
    # Inside a run Hydra is at work already, and allows one at a time.
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        search_path = create_config_search_path(str(main))
        if _sources.extra is not None:
            search_path.prepend("command-line", f"file://{_sources.extra}", SearchPathQuery(provider="schema"))
        hydra = Hydra.create_main_hydra2("vistr", search_path)
        given = [*typed.stored_parts(overrides), *overrides]
        composed = hydra.compose_config(_sources.name, given, mode, from_shell=False)
    except (*COMPOSITION_ERRORS, AssertionError, OSError) as error:  # of files that others wrote
        raise UserError(explain(error, overrides)) from error
    finally:
        GlobalHydra.instance().clear()
        if running is not None:
            GlobalHydra.instance().initialize(running)
    if mode == RunMode.RUN and not with_hydra:
        with open_dict(composed):
            del composed["hydra"]
    return composed


@contextmanager
def conversion_errors(overrides: Sequence[str]) -> Iterator[None]:
    """Turns what OmegaConf raises where it looks up and converts values into one sentence."""
    try:
        yield
    except COMPOSITION_ERRORS as error:
        raise UserError(explain(error, overrides)) from error


def to_dataclasses(composed: DictConfig, overrides: Sequence[str]) -> Config:
    """A composed configuration as unchecked dataclasses, its paths absolute; UserError for keys that are not known."""
    with conversion_errors(overrides):
        move_in_studies(composed, overrides)
    without_other_options_keys(composed, overrides)
    refuse_unknown_keys(composed, overrides)
    with conversion_errors(overrides):
        config = cast(Config, OmegaConf.to_object(composed))
    for section in sections_of(config):
        for field in dataclasses.fields(section):
            kind, value = field.metadata.get("path"), getattr(section, field.name)
            if kind and value and not is_remote(value) and (kind != "table" or value.endswith((".yaml", ".yml"))):
                paths = value.split(",") if kind == "several" else [value]
                whole = (os.path.abspath(os.path.expanduser(path)) for path in paths)
                setattr(section, field.name, ",".join(whole))
    return config
