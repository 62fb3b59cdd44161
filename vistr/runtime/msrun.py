"""The processes that MindSpore's msrun starts: its workers, its scheduler, and the readers of their logs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import psutil


def children(msrun: int, role: str, scripts: Collection[str]) -> list[psutil.Process]:
    """The processes of that role that msrun has started here with one of the scripts."""

    def has_role(process: psutil.Process) -> bool:
        command = {Path(word).name for word in process.cmdline()}
        return process.environ().get("MS_ROLE") == role and not command.isdisjoint(scripts)

    return _started(msrun, has_role)


def end_tails(msrun: int) -> None:
    """End the `tail -f` that msrun starts: nobody reads it, and it would outlive an msrun that is killed."""
    for process in _started(msrun, lambda process: process.name() == "tail"):
        with suppress(psutil.Error):
            process.kill()


def _started(msrun: int, wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Those of msrun's processes that are wanted, and still there to be asked."""
    found = []
    with suppress(psutil.Error):
        for process in psutil.Process(msrun).children():
            with suppress(psutil.Error):
                if wanted(process):
                    found.append(process)
    return found
