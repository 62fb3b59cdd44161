"""A disk that is full, broken or read-only ends a run with one sentence, wherever it was being written to."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vistr.errors import UserError, shortened
from vistr.files import place_of

# No space, no quota, a file larger than allowed; a broken disk, one that may only be read.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TROUBLE = (*FULL, errno.EIO, errno.EROFS)


@contextmanager
def explain_full_disk(folder: Path | None) -> Iterator[None]:
    """Turns the errors of a disk into a sentence on the file, where it is known, or on the run's folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in TROUBLE:
            raise
        what = place_of(Path(str(error.filename))) if error.filename else folder or "A file"
        advice = "free some space there" if error.errno in FULL else "see to the disk"
        again = "then start again"
        if folder is not None and (folder / "checkpoints/last.safetensors").is_file():
            again = f"then go on with resume={shortened(folder, 100)}"
        raise UserError(f"{shortened(what, 100)} cannot be written: {error.strerror}; {advice}, {again}.") from error


class LogFile(logging.FileHandler):
    """A run's log. Where it cannot be written the run ends, as with any other of its files, and the log is silent."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Raise the disk's error from where the message was logged, once."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError) or error.errno not in TROUBLE:
            super().handleError(record)
        elif not self.failed:
            self.failed = True
            raise error
