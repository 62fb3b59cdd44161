"""Compiled graphs kept on disk: what an earlier run compiled is loaded, in less time and memory than compiling takes.

MindSpore's own cache numbers the graphs of a process in the order of their compilation and loads whatever file has the
number, be it of other shapes or of another network. So it gets a folder of this process alone, with no file but that
of the graph at hand; files are kept elsewhere, under everything that a graph depends on.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import mindspore as ms
from mindspore import Parameter

from vistr.files import make_working_folder, replacing
from vistr.runtime import private
from vistr.runtime.parallel import num_ranks

logger = logging.getLogger(__name__)
DAYS_KEPT = 30
# The code that becomes graphs.
ROOMS = [Path(__file__).resolve().parents[1] / room for room in ("layers", "losses", "models", "runtime", "training")]


class GraphCache:
    """The graphs of one network and its training."""

    def __init__(self, folder: Path, settings: object) -> None:
        """`settings` is all, beside this package's code, that the graphs depend on; what matters is its text."""
        self.folder = folder / digest(settings, _sources(), ms.__version__, sys.version)

    @contextmanager
    def serving(self, graph: str, weights: Iterable[Parameter]) -> Iterator[bool]:
        """Load the graph that is compiled in the body from the cache, or store it there; yields whether it is loaded.

        `graph` is the graph's name with its inputs' shapes and types, `weights` are all parameters it may use.
        """
        named = {p.name: p for p in weights}
        kept = self.folder / f"{digest(graph, *(f'{name} {p.shape} {p.dtype}' for name, p in named.items()))}.mindir"
        if private.PARTS is None:
            yield False
            return
        staging = _staging_folder()
        found = staging.stage(kept)
        # A graph that is loaded looks for its weights by name; without them it would compute with whatever is there.
        private.name_weights(named)
        os.environ["MS_COMPILER_CACHE_ENABLE"] = "1"
        try:
            yield found
            staging.store(kept, loaded=found)
        except BaseException:
            staging.loads = False
            raise
        finally:
            os.environ["MS_COMPILER_CACHE_ENABLE"] = "0"
            staging.clear()


class StagingFolder:
    """This process's folder, from which MindSpore loads its n-th graph as file n, or to which it writes it."""

    def __init__(self) -> None:
        top = str(make_working_folder("vistr-graphs-"))
        weakref.finalize(self, shutil.rmtree, top, ignore_errors=True)
        os.environ["MS_COMPILER_CACHE_PATH"] = top
        # Its checksum would be another one in every process. What counts is in our own names.
        private.ignore_scripts(__file__)
        self.folder = Path(top, "rank_0", "graph_cache")
        self.folder.mkdir(parents=True)
        # Every process of several is told apart by its role, and not by its rank.
        self.role = os.environ.get("MS_ROLE", "") if num_ranks() > 1 else ""
        self.num_served = 0
        # Once MindSpore has not found a graph it looks for no more in this process, and compiles all that follow.
        self.loads = True

    @property
    def file(self) -> Path:
        """The file of the next graph."""
        return self.folder / f"{self.role}compile_cache_{self.num_served}.mindir"

    @property
    def dependencies(self) -> Path:
        """MindSpore's checksum of the scripts it was told of: with another one it loads nothing."""
        return self.folder / f"{self.role}compile_dependency.hash"

    def stage(self, kept: Path) -> bool:
        """Copy a kept graph to where MindSpore looks for it; False if there is none, or it would not be loaded."""
        if not self.loads:
            return False
        try:
            shutil.copyfile(kept.with_suffix(".hash"), self.dependencies)
            shutil.copyfile(kept, self.file)
            # MindSpore does not look whether a file is whole, or is that of the graph at hand.
            if kept.with_suffix(".sum").read_bytes() != _checksum(kept, self.dependencies, self.file):
                self.file.unlink()
                return False
            os.utime(kept.parent)
        except OSError:
            self.file.unlink(missing_ok=True)
            return False
        os.utime(self.file, (0, 0))  # a later time afterwards means that MindSpore compiled the graph again
        return True

    def store(self, kept: Path, *, loaded: bool) -> None:
        """Copy the file that MindSpore wrote to the cache, if it compiled the graph."""
        try:
            written = self.file.stat().st_mtime > 0
            if loaded and written:
                logger.warning("a kept graph was compiled again: MindSpore did not take it")
            if not loaded or written:
                self.loads = False
                kept.parent.mkdir(parents=True, exist_ok=True)
                with replacing(kept.with_suffix(".sum")) as draft:
                    draft.write_bytes(_checksum(kept, self.dependencies, self.file))
                for source, target in ((self.dependencies, kept.with_suffix(".hash")), (self.file, kept)):
                    with replacing(target) as draft:
                        shutil.copyfile(source, draft)
                _prune(kept.parents[1])
        except OSError as error:
            logger.debug("the compiled graph is not kept: %s", error)

    def clear(self) -> None:
        """Leave nothing that another graph could be taken for."""
        for file in self.folder.glob(f"*compile_cache_{self.num_served}.*"):
            file.unlink()
        self.num_served += 1


@lru_cache
def _staging_folder() -> StagingFolder:
    return StagingFolder()


def _checksum(kept: Path, *files: Path) -> bytes:
    """SHA-256 of the graph's name and its files' contents."""
    found = hashlib.sha256(kept.stem.encode())
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest().encode()


def digest(*parts: object) -> str:
    """The first 20 hexadecimal digits of the SHA-256 of the parts' texts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:20]


@lru_cache
def _sources() -> str:
    """A digest of the source code that becomes graphs."""
    return digest(*(path.read_text(encoding="utf-8") for room in ROOMS for path in sorted(room.rglob("*.py"))))


@lru_cache
def _prune(folder: Path) -> None:
    """Remove the graphs of networks that no run has used for DAYS_KEPT days."""
    for old in folder.iterdir():
        if time.time() - old.stat().st_mtime > DAYS_KEPT * 86400:
            shutil.rmtree(old, ignore_errors=True)
