"""The ranks of one run on several devices: their numbers, messages between them, and the sum of their gradients.

`scripts/launch` starts them through MindSpore's msrun. Gradients are added by MindSpore's collectives (NCCL on GPUs,
its own on CPUs). What the hosts say goes by a connection of its own: MindSpore's collective on CPUs gives up after 30
seconds, and one rank may well compile that long, or write a checkpoint, while the others wait.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from vistr.errors import UserError
from vistr.runtime.host_channel import LOST, Watch, join_rank, receive_ranks

if TYPE_CHECKING:
    from mindspore import Parameter

# Set by the launcher: host:port of the first process, and the key that the others show it.
HUB, KEY = "VISTR_HUB", "VISTR_KEY"
# And how many processes it starts on this machine.
LOCAL_RANKS = "VISTR_LOCAL_RANKS"


def is_scheduler() -> bool:
    """Whether this process is msrun's scheduler, which only brings the ranks together."""
    return os.environ.get("MS_ROLE") == "MS_SCHED"


def rank() -> int:
    """This process's number among all of the run, 0 where it is alone."""
    return int(os.environ.get("RANK_ID", "0")) if num_ranks() > 1 else 0


def local_rank() -> int:
    """This process's number among those on its machine."""
    return int(os.environ.get("DEVICE_ID", "0")) if num_ranks() > 1 else 0


def num_ranks() -> int:
    """Processes of this run."""
    return int(os.environ.get("MS_WORKER_NUM", "1")) if HUB in os.environ else 1


def num_local_ranks() -> int:
    """Processes of this run on this machine."""
    return int(os.environ.get(LOCAL_RANKS, "1")) if num_ranks() > 1 else 1


def environment_alone() -> dict[str, str]:
    """The environment of a process that this rank starts and that is no rank itself."""
    ours = (HUB, "RANK_ID", "RANK_SIZE", "DEVICE_ID", "MS_ROLE", "MS_WORKER", "MS_SERVER", "MS_SCHED", "MS_NODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def serve() -> None:
    """Be the scheduler; returns when the run is over."""
    import mindspore as ms
    from mindspore.communication import init

    ms.set_device("CPU")
    init("mccl")


class Ranks:
    """The processes of one run, all of which must call the same methods in the same order. One alone is a run too."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    @property
    def shard(self) -> tuple[int, int]:
        """(rank, number of ranks)."""
        return self.rank, self.size

    def exchange(self, content: Any) -> list[Any]:
        """Gather a JSON value of every rank, in their order, at every rank."""
        return [content]

    def collect(self, content: Any) -> list[Any] | None:
        """Gather a JSON value of every rank at the first; the others get None."""
        return [content]

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sum numbers over the ranks, at every rank."""
        return [sum(column) for column in zip(*self.exchange(list(values)), strict=True)]

    def any(self, yes: bool) -> bool:
        """Whether any rank says yes."""
        return any(self.exchange(yes))

    def wait(self) -> None:
        """Block until every rank has come this far."""
        self.exchange(None)

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        """The first rank goes through a block before the others do: what it makes on the disk, they find."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def leave(self) -> None:
        """Once every rank has come this far, none minds that the others end."""
        self.wait()

    def all_reduce(self) -> Any:
        """MindSpore's operator that sums a tensor over the ranks, None where there is nothing to sum."""
        return None

    def share(self, parameters: Sequence[Parameter]) -> None:
        """Give every rank the values that the first has."""


class Group(Ranks):
    """Several processes; rank 0 relays their JSON messages over TCP."""

    def __init__(self, rank: int, size: int, hub: tuple[str, int], key: bytes) -> None:
        super().__init__(rank, size)
        self.others = receive_ranks(hub, key, size) if rank == 0 else [join_rank(hub, key, rank)]
        self.watch = Watch(self.others)

    def exchange(self, content: Any) -> list[Any]:
        collected = self.collect(content)
        if collected is None:
            return list(self._receive(self.others[0]))
        for other in self.others:
            self._send(other, collected)
        return collected

    def collect(self, content: Any) -> list[Any] | None:
        if self.rank > 0:
            self._send(self.others[0], content)
            return None
        return [content, *(self._receive(other) for other in self.others)]

    def leave(self) -> None:
        self.wait()
        self.watch.stop()

    def require_same(self, device: str) -> None:
        """UserError where the ranks have chosen different devices, which could not add gradients together."""
        found = self.exchange([device, socket.gethostname()])
        if len({name for name, _ in found}) > 1:
            said = [f"process {rank} on {host}: {name}" for rank, (name, host) in enumerate(found)]
            odd = next(rank for rank, (name, _) in enumerate(found) if name != found[0][0])
            raise UserError(
                f"the run's processes found different devices ({said[0]}; {said[odd]}): see why in their logs, or"
                " choose one for all with device=gpu or device=cpu"
            )

    def all_reduce(self) -> Any:
        from mindspore import ops

        return ops.AllReduce()

    def share(self, parameters: Sequence[Parameter]) -> None:
        from mindspore import ops

        self.wait()
        send = ops.Broadcast(0)
        for parameter in parameters:
            ops.assign(parameter, send((parameter.value(),))[0])

    def _send(self, other: Connection, content: Any) -> None:
        try:
            other.send_bytes(json.dumps(content).encode())
        except OSError as error:
            raise UserError(LOST) from error

    def _receive(self, other: Connection) -> Any:
        try:
            return json.loads(other.recv_bytes())
        except (OSError, EOFError) as error:
            raise UserError(LOST) from error


@lru_cache
def join(device: str) -> Ranks:
    """The run's ranks, once they are all there; alone where this process was not launched with others.

    The device ("CPU" or "GPU") must be chosen before.
    """
    size = num_ranks()
    if size == 1:
        return Ranks()
    from mindspore.communication import init

    host, _, port = os.environ[HUB].rpartition(":")
    key = os.environ.pop(KEY, "")
    if not key:
        raise UserError(f"{HUB} is set but not {KEY}: start the processes of a run with scripts/launch")
    group = Group(rank(), size, (host, int(port)), key.encode())
    group.require_same(device)
    init("nccl" if device == "GPU" else "mccl")
    return group


def pieces(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Indices of successive sizes that together stay within the limit, or are one alone."""
    found: list[list[int]] = []
    total = limit
    for i, size in enumerate(sizes):
        if total + size > limit:
            found.append([])
            total = 0
        found[-1].append(i)
        total += size
    return found
