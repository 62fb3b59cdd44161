"""The connections between the processes of a run: who has not the run's key gets none, and holds nobody up.

The first process listens at one address, every other one connects to it, and both prove that they know the key
(`multiprocessing.connection`'s challenge and answer, in which the key itself is not sent). When all are there nothing
listens any more. What is said later is neither encrypted nor signed.
"""

from __future__ import annotations

import os
import queue
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge

from vistr.errors import UserError
from vistr.runtime import system

# How long the processes of a run wait for each other at the start: imports from a busy network disk take their time.
JOIN_SECONDS = 300.0
HANDSHAKE_SECONDS = 10.0
# Connections that have not shown the key yet; of more, the one that has waited longest is closed.
MAX_STRANGERS = 128
# A process whose peer is gone has this long to say so by itself, before it is ended inside whatever it waits for.
GRACE_SECONDS = 10.0
LOST = "another process of this run ended, so this one ends too; the run goes on from its last checkpoint with resume="
WELCOME = b"welcome"


def receive_ranks(address: tuple[str, int], key: bytes, size: int, seconds: float = JOIN_SECONDS) -> list[Connection]:
    """The connections to ranks 1 to size - 1, in their order, once all have come to this address and shown the key.

    UserError where one does not come in time, or this machine cannot listen there.
    """
    arrived: dict[int, Connection] = {}
    greeted: queue.SimpleQueue[tuple[int, Connection]] = queue.SimpleQueue()
    strangers: deque[socket.socket] = deque()
    until = time.monotonic() + seconds
    with closing(_listen(address)) as server:
        server.settimeout(0.1)
        while len(arrived) < size - 1:
            with suppress(OSError):
                one, _ = server.accept()
                strangers.append(one)
                threading.Thread(target=_greet, args=(one, key, size, greeted), daemon=True).start()
            while len(strangers) > MAX_STRANGERS:
                _hang_up(strangers.popleft())
            while not greeted.empty():
                rank, connection = greeted.get()
                # A rank that comes again had given up its first connection.
                if rank in arrived:
                    arrived[rank].close()
                arrived[rank] = connection
            if time.monotonic() > until:
                late = ", ".join(str(rank) for rank in range(1, size) if rank not in arrived)
                raise UserError(
                    f"of the run's {size} processes number {late} did not come to {address[0]}:{address[1]} in"
                    f" {seconds:g} s: see what they printed, and whether their machine reaches this address"
                )
    for one in strangers:
        _hang_up(one)
    for connection in arrived.values():
        connection.send_bytes(WELCOME)
        _set_patience(connection.fileno(), None)
    return [arrived[rank] for rank in range(1, size)]


def join_rank(address: tuple[str, int], key: bytes, rank: int, seconds: float = JOIN_SECONDS) -> Connection:
    """The connection of a rank to the first, which may still be starting; UserError where there is none in time."""
    until = time.monotonic() + seconds
    why = "it did not answer"
    while time.monotonic() < until:
        try:
            with socket.create_connection(address, timeout=HANDSHAKE_SECONDS) as one:
                connection = _connection(one)
        except OSError:
            time.sleep(0.2)
            continue
        try:
            answer_challenge(connection, key)
            deliver_challenge(connection, key)
            connection.send_bytes(str(rank).encode())
            # The welcome comes when all are there.
            if connection.poll(max(0.0, until - time.monotonic())) and connection.recv_bytes(64) == WELCOME:
                _set_patience(connection.fileno(), None)
                return connection
            why = "other processes of the run did not come"
        except AuthenticationError:
            why = "what answers there has another key"
        except Exception as error:  # whatever somebody else's service at this address may say
            why = f"the connection broke ({type(error).__name__})"
        connection.close()
        time.sleep(0.2)
    raise UserError(
        f"process {rank} could not join the run's first at {address[0]}:{address[1]} in {seconds:g} s: {why}"
    )


class Watch:
    """A thread that ends this process when a peer is gone and the main thread cannot say so itself.

    A collective operation waits for a dead peer for ever; the connection to it tells at once, or, where a machine or
    the network went down, after some 20 s.
    """

    def __init__(self, peers: Sequence[Connection]) -> None:
        self.over = threading.Event()
        self.hang_ups = system.HangUps(peer.fileno() for peer in peers)
        threading.Thread(target=self._look, daemon=True).start()

    def stop(self) -> None:
        """Look no more: the run ends, and with it every process when it is done."""
        self.over.set()

    def _look(self) -> None:
        while not self.hang_ups.wait(0.5):
            if self.over.is_set():
                return
        if not self.over.wait(GRACE_SECONDS):
            print(LOST, file=sys.stderr, flush=True)
            os._exit(1)


def _listen(address: tuple[str, int]) -> socket.socket:
    try:
        return socket.create_server(address, backlog=MAX_STRANGERS)
    except OSError as error:
        raise UserError(
            f"the run's first process cannot listen at {address[0]}:{address[1]}: {error.strerror or error}; --address="
            " is an address of the first machine with two free ports"
        ) from error


def _greet(one: socket.socket, key: bytes, size: int, greeted: queue.SimpleQueue[tuple[int, Connection]]) -> None:
    """Let a rank in; anybody else is hung up on."""
    try:
        connection = _connection(one)
        deliver_challenge(connection, key)
        answer_challenge(connection, key)
        rank = int(connection.recv_bytes(16))
        if 0 < rank < size:
            greeted.put((rank, connection))
            return
    except Exception:  # a stranger may say anything
        pass
    finally:
        one.close()
    with suppress(NameError, OSError):
        connection.close()


def _connection(one: socket.socket) -> Connection:
    """A connection over a socket, whose reads and writes have a limit until the handshake is done."""
    one.setblocking(True)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 2), ("TCP_USER_TIMEOUT", 20_000)):
        if hasattr(socket, option):
            one.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    descriptor = os.dup(one.fileno())
    _set_patience(descriptor, HANDSHAKE_SECONDS)
    return Connection(descriptor)


def _set_patience(descriptor: int, seconds: float | None) -> None:
    """The longest that a read or a write may wait; None: for ever."""
    limit = struct.pack("ll", int(seconds or 0), 0)
    with socket.socket(fileno=os.dup(descriptor)) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _hang_up(one: socket.socket) -> None:
    """End a connection in whatever state it is, also one that a thread is reading from."""
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
