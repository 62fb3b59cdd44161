"""A process that uses kept graphs: `graph_user.py FOLDER CALLS`, calls as JSON; prints what it got and was told.

Every call makes a graph that multiplies rows of ones by a weight, `{"value": 2, "rows": 1, ...}`.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor

from vistr.runtime.device import use_device
from vistr.runtime.graph import Graph
from vistr.runtime.graph_cache import GraphCache


class Told(logging.Handler):
    """First words of the messages: "compiling" or "loading"."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.words.append(record.getMessage().split()[0])


def scaled(folder: Path, call: dict[str, Any]) -> float:
    weight = Parameter(Tensor(np.full(3, call["value"], np.float32)), name=call.get("name", "factor"))

    def scale(x: Tensor) -> Tensor:
        return x * weight

    graph = Graph("scaling", scale, [weight], GraphCache(folder, call.get("network")), call.get("settings"))
    return float(graph(Tensor(np.ones((call.get("rows", 1), 3), np.float32))).asnumpy().mean())


if __name__ == "__main__":
    use_device("cpu")
    told, logger = Told(), logging.getLogger("vistr.runtime.graph")
    logger.addHandler(told)
    logger.setLevel(logging.INFO)
    values = [scaled(Path(sys.argv[1]), call) for call in json.loads(sys.argv[2])]
    print(json.dumps([values, told.words]))
