"""A reader that does wrong in every way there is, by a draw: the mutation program must tell them apart."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

from scripts.mutate.readers import Case, Maker
from vistr.errors import UserError


def _behave(way: int) -> str:
    if way == 1:
        raise UserError("one sentence")
    if way == 2:
        raise ValueError("a traceback")
    if way == 3:
        raise UserError(" ")
    if way == 4:
        return "wrong numbers"
    if way == 5:
        os.abort()
    if way == 6:
        time.sleep(1000)
    if way == 7:
        bytes(b"x" * (300 << 20))
    return ""


def _prepare(folder: Path) -> Maker:
    def make(rng: Random) -> Case:
        way = rng.randrange(8)
        return Case(str(way), {"way": b"%d" % way}, lambda: _behave(way))

    return make


READERS = {"reader": _prepare}
