"""`task=compare`: runs side by side, as a table, Markdown, CSV, pictures and one HTML page."""

from __future__ import annotations

import logging
import os

from vistr.config import Config
from vistr.errors import UserError, shortened
from vistr.runs.comparison import compare
from vistr.runs.comparison_files import write_files
from vistr.runs.comparison_tables import text_table
from vistr.runs.runs import find_runs
from vistr.tasks.settings import Compare

logger = logging.getLogger(__name__)


def run(config: Config) -> dict[str, float]:
    """Compare the runs that task.runs names, and write comparison.* into the run's folder; returns no figures."""
    patterns, folder = Compare.of(config).runs.split(","), config.folder
    runs = find_runs(patterns, leave_out=folder)
    known = sorted({name for one in runs for name in one.figures})
    if known and config.optimize not in known and config.optimize != "AP":
        raise UserError(f"optimize={shortened(config.optimize)} is no figure of these runs: {', '.join(known)}.")
    comparison = compare(runs, config.optimize, config.direction)
    logger.info("%s", text_table(comparison))
    names = ", ".join(os.path.basename(pattern.rstrip("/*_")) for pattern in patterns)
    files = write_files(comparison, folder, "comparison", names)
    logger.info("\nWritten to %s: %s", os.path.relpath(folder), ", ".join(path.name for path in files))
    return {}
