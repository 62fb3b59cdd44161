"""A process that hands a large tensor to a graph: `memory_user.py MEGABYTES held|released`.

Prints by how many megabytes it grows for the next tensor of that size.
"""

from __future__ import annotations

import sys

import mindspore as ms
from mindspore import Tensor, ops

from vistr.runtime.device import use_device
from vistr.runtime.graph import Graph
from vistr.runtime.memory import release


def resident() -> float:
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def large(megabytes: int) -> Tensor:
    tensor = ops.ones((megabytes * 1024, 256), ms.float32)
    tensor[0, 0].asnumpy()
    return tensor


def total(x: Tensor) -> Tensor:
    return ops.matmul(ops.ones((1, x.shape[0]), x.dtype), x)


if __name__ == "__main__":
    use_device("cpu")
    size, graph = int(sys.argv[1]), Graph("a sum", total)
    first = large(size)
    graph(first).asnumpy()
    if sys.argv[2] == "released":
        release([first])
    del first
    before = resident()
    second = large(size)
    print(resident() - before)
