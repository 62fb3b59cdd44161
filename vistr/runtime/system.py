"""Calls that differ between operating systems. Linux alone was tried; elsewhere a limit or a lock may be missing."""

from __future__ import annotations

import mmap
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

if sys.platform == "win32":
    KILL = signal.SIGTERM
else:
    KILL = signal.SIGKILL
if sys.platform == "linux":
    HUNG_UP = select.POLLRDHUP
elif sys.platform != "win32":
    HUNG_UP = select.POLLHUP


def available_cores() -> int:
    """Cores that this process may use."""
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return cores


def available_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or what its container is limited to."""
    size = int(psutil.virtual_memory().total)
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        size = min(size, int(text))
    return size


def peak_memory() -> int:
    """The most bytes of memory that this process has had so far."""
    if sys.platform == "win32":
        peak = int(psutil.Process().memory_info().peak_wset)
    else:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak


def user_id() -> int:
    """The number of the user; 0 where users have none."""
    number = 0
    if sys.platform != "win32":
        number = os.getuid()
    return number


def lock(file: int, *, wait: bool = True) -> None:
    """Lock an open file for this process until it is closed. Raises OSError where the disk has no locks, and with
    `wait=False` where another process holds it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def read_at(file: int, length: int, offset: int) -> bytes:
    """Bytes of an open file from `offset` on."""
    if sys.platform == "win32":
        os.lseek(file, offset, os.SEEK_SET)
        found = os.read(file, length)
    else:
        found = os.pread(file, length, offset)
    return found


def address_space() -> int:
    """Bytes of address space that this process has, on Linux; 0 elsewhere."""
    pages = 0
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * mmap.PAGESIZE


def limit_process(*, more_memory: int, more_seconds: float) -> None:
    """Let this process take so many further bytes of address space and seconds of processor time, and leave no core."""
    if sys.platform == "linux":
        import resource

        memory = address_space() + more_memory
        seconds = int(time.process_time() + more_seconds)
        for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)):
            _, hard = resource.getrlimit(kind)
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


class HangUps:
    """Waits until one of several connections has hung up; where the system cannot tell, none ever does."""

    def __init__(self, files: Iterable[int]) -> None:
        if sys.platform != "win32":
            self._poll = select.poll()
            for file in files:
                self._poll.register(file, HUNG_UP)

    def wait(self, seconds: float) -> bool:
        """Whether one has hung up within so many seconds."""
        came = False
        if sys.platform == "win32":
            time.sleep(seconds)
        else:
            came = bool(self._poll.poll(seconds * 1000))
        return came
