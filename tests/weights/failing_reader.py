"""The process that reads other people's weights, with a parser in it that fails as FAILS_BY says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vistr.runtime.subprocess_call import answer_request
from vistr.weights import foreign
from vistr.weights.formats import WeightFile


def parse(path: Path) -> WeightFile:
    if os.environ["FAILS_BY"] == "crash":
        os.abort()
    taken = []
    while True:
        if os.environ["FAILS_BY"] == "memory":
            taken.append(b"x" * (16 << 20))


if __name__ == "__main__":
    foreign.parse = parse
    sys.exit(answer_request(sys.argv[1:], foreign.find))
