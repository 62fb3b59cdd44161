"""Results of a sweep: the ranked table, summary.csv and its like, pictures."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from vistr.runs.comparison import compare
from vistr.runs.comparison_files import write_files
from vistr.runs.comparison_tables import text_table
from vistr.runs.runs import read_run, run_folders

log = logging.getLogger(__name__)


def report(folder: Path, optimize: str, direction: str, *, complete: bool) -> bool:
    """Print the table of a sweep's jobs and write summary.*; whether all of them are finished.

    `complete`: whether the sweep came to its end, rather than being stopped.
    """
    runs = [read_run(path, path.name) for path in run_folders(folder)] if folder.is_dir() else []
    if not runs:
        return True
    comparison = compare(runs, optimize, direction)
    print(f"\n{text_table(comparison)}\n")
    files = write_files(comparison, folder, "summary", folder.name)
    print(f"Written to {os.path.relpath(folder)}: {', '.join(path.name for path in files)}")
    print(f"Curves: tensorboard --logdir {os.path.relpath(folder)}")
    unfinished = sum(run.state != "finished" for run in runs)
    if not complete:
        print("The sweep was stopped; the same command goes on with it.")
    elif unfinished:
        print(f"{unfinished} of {len(runs)} jobs did not finish; the same command tries them again.")
    return unfinished == 0
