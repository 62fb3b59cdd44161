"""The words of a command line: Hydra's flags and the overrides, in whatever order they were typed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from vistr.config.run_names import override_key
from vistr.errors import UserError, shortened
from vistr.files import is_folder

_SHOWING = ("help", "hydra_help", "cfg", "resolve", "package", "info", "shell_completion")


@dataclass(frozen=True)
class Sources:
    """Where configurations are composed from: `main` (None: the project's conf/), `extra`, which adds options to its
    groups (--config-dir), and the name of the first file in `main`."""

    main: Path | None = None
    extra: Path | None = None
    name: str = "config"

    def flags(self) -> list[str]:
        """Hydra's flags for them."""
        flags = [] if self.main is None else [f"--config-path={self.main}"]
        flags += [] if self.extra is None else [f"--config-dir={self.extra}"]
        return flags + ([] if self.name == "config" else [f"--config-name={self.name}"])


@dataclass(frozen=True)
class Command:
    """The typed command. `sweep`: many runs (-m); `showing`: Hydra's flags that print something instead of running."""

    overrides: list[str]
    sweep: bool
    showing: list[str]
    sources: Sources


def parse(arguments: Sequence[str]) -> Command:
    """The flags and the overrides among the arguments; flags may stand anywhere.

    Raises UserError for flags that Hydra does not have, or that do not go together.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    given = parser.parse_intermixed_args(list(arguments))
    if given.experimental_rerun is not None:
        raise UserError("--experimental-rerun is not for this project: resume=<a run's folder> goes on with a run.")
    mode = [override for override in given.overrides if override_key(override) == "hydra.mode"]
    overrides = [override for override in given.overrides if override not in mode]
    sweep = given.multirun or any(override.upper().endswith("MULTIRUN") for override in mode)
    showing = _showing(given)
    if sweep and showing:
        raise UserError(f"{showing[0]} prints and -m (--multirun) runs: leave one of them out.")
    return Command(overrides, sweep, showing, _sources(given))


def _refuse(message: str) -> NoReturn:
    raise UserError(f"The command line cannot be read: {shortened(message, 160)} (run.py --help lists the flags).")


def _sources(given: argparse.Namespace) -> Sources:
    return Sources(
        _folder("--config-path", given.config_path),
        _folder("--config-dir", given.config_dir),
        given.config_name or "config",
    )


def _folder(flag: str, name: str | None) -> Path | None:
    if name is None:
        return None
    folder = Path(name).expanduser().absolute()
    if not is_folder(folder):
        raise UserError(f"{flag}={shortened(name)}: there is no such folder.")
    return folder


def _showing(given: argparse.Namespace) -> list[str]:
    flags = []
    for name in _SHOWING:
        value, flag = getattr(given, name), f"--{name.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        elif value:
            flags.append(f"{flag}={value}")
    return flags
