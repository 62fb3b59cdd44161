"""The configuration files of a sweep, kept in its folder when it starts: its jobs are composed from these alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hydra.conf import HydraConf

from vistr.config.command import Sources
from vistr.config.schema import OPTIONS
from vistr.config.search_path import STUDIES
from vistr.files import CONF
from vistr.sweeps.plan import SweepPlan

_HIDDEN = ".conf_"


def keep_sources(sources: Sources, planned: SweepPlan) -> Sources:
    """Copy the files that the sweep is composed from into its folder, unless they are there; returns the copy.

    A file edited while jobs wait, on a cluster perhaps for days, changes nothing of them.
    """
    kept = planned.folder / f"{_HIDDEN}{planned.digest}"
    if not kept.is_dir():
        planned.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".conf-", dir=planned.folder) as folder:
            main = sources.main or CONF
            draft = Path(folder) / "conf"
            groups = {*(path.name for path in main.iterdir() if path.is_dir()), STUDIES.name, *OPTIONS}
            # Of two files of one name Hydra takes the one in `main`, then those in the order they are named in.
            for source in [main, *([sources.extra] if sources.extra else []), *planned.search_path]:
                _copy(source, draft, deep=False)
                for group in groups:
                    _copy(source / group, draft / group)
            if main == CONF:
                _copy(STUDIES, draft / STUDIES.name)
            with suppress(FileExistsError, OSError):  # the same sweep, started at the same moment
                os.rename(draft, kept)
    return Sources(main=kept.absolute(), name=sources.name)


def sources_of(hydra_config: HydraConf) -> Sources:
    """The files that a running job's configuration was composed from."""
    main = next(source.path for source in hydra_config.runtime.config_sources if source.provider == "main")
    return Sources(main=Path(main), name=str(hydra_config.job.config_name))


def _copy(source: Path, target: Path, *, deep: bool = True) -> None:
    """Copy the YAML files of a folder, and with `deep` of those in it, where there is none of that name yet."""
    for folder, below, names in os.walk(source, followlinks=True):
        there = target / os.path.relpath(folder, source)
        for name in names:
            if name.endswith((".yaml", ".yml")) and not (there / name).exists():
                there.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(folder) / name, there / name)
        if not deep:
            below.clear()
