"""Whoever connects to the processes of a run without their key disturbs nothing, and nobody waits for ever."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection

import psutil
import pytest

from vistr.errors import UserError
from vistr.files import ROOT
from vistr.launcher import free_port
from vistr.runtime import host_channel
from vistr.runtime.host_channel import join_rank, receive_ranks

KEY = b"0123456789abcdef"


@pytest.fixture
def address() -> tuple[str, int]:
    return "127.0.0.1", free_port()


def connected(address: tuple[str, int]) -> socket.socket:
    for _ in range(100):
        with suppress(OSError):
            return socket.create_connection(address, timeout=1)
        time.sleep(0.02)
    raise AssertionError("nobody listens")


def silent(address: tuple[str, int]) -> list[socket.socket]:
    return [connected(address) for _ in range(10)]


def closes_at_once(address: tuple[str, int]) -> None:
    for _ in range(10):
        connected(address).close()


def resets(address: tuple[str, int]) -> None:
    one = connected(address)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    one.close()


def speaks_http(address: tuple[str, int]) -> socket.socket:
    one = connected(address)
    one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return one


def claims_a_long_message(address: tuple[str, int]) -> socket.socket:
    one = connected(address)
    one.sendall(b"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + b"x" * 1000)
    return one


def has_another_key(address: tuple[str, int]) -> None:
    for key in (b"vistr 8119", b"another key here"):
        connected(address).close()
        with suppress(AuthenticationError, OSError, EOFError):
            Client(address, authkey=key).close()


def knows_the_key_but_is_no_rank(address: tuple[str, int]) -> list[Connection]:
    connected(address).close()
    kept = []
    for said in (b"abc", b"0", b"2", b"-1", b"", b"1" * 17):
        kept.append(Client(address, authkey=KEY))
        kept[-1].send_bytes(said)
    return kept


@pytest.mark.parametrize(
    "stranger",
    [
        silent, closes_at_once, resets, speaks_http, claims_a_long_message, has_another_key,
        knows_the_key_but_is_no_rank,
    ],
)  # fmt: skip
def test_a_stranger_keeps_no_rank_from_joining(address: tuple[str, int], stranger: Callable[..., object]) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(receive_ranks, address, KEY, 2, 20.0)
        kept = stranger(address)
        with closing(join_rank(address, KEY, 1, 20.0)) as other, closing(first.result()[0]) as one:
            one.send_bytes(b"hello")
            assert other.recv_bytes() == b"hello"
    for each in kept if isinstance(kept, list) else [kept]:
        if each is not None:
            each.close()  # type: ignore[attr-defined]


def test_more_strangers_than_are_kept_waiting(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_channel, "MAX_STRANGERS", 5)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(receive_ranks, address, KEY, 2, 20.0)
        kept = [connected(address) for _ in range(12)]
        other = join_rank(address, KEY, 1, 20.0)
        for one in (*kept, other, *first.result()):
            one.close()


def test_one_machine_listens_on_the_loopback_alone_and_only_until_all_are_there(address: tuple[str, int]) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(receive_ranks, address, KEY, 2, 20.0)
        connected(address).close()
        listening = [c.laddr for c in psutil.Process().net_connections() if c.status == "LISTEN"]
        other = join_rank(address, KEY, 1, 20.0)
        (one,) = first.result()
    assert [where.ip for where in listening if where.port == address[1]] == ["127.0.0.1"]
    with closing(one), closing(other), pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_a_rank_that_does_not_come_is_named(address: tuple[str, int]) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(receive_ranks, address, KEY, 3, 1.0)
        with pytest.raises(UserError, match="process 1 could not join the run's first"):
            join_rank(address, KEY, 1, 1.0)
        with pytest.raises(UserError, match=f"number 2 did not come to 127.0.0.1:{address[1]} in 1 s"):
            first.result()


def test_an_address_in_use_is_a_sentence(address: tuple[str, int]) -> None:
    with socket.create_server(address), pytest.raises(UserError, match="cannot listen at"):
        receive_ranks(address, KEY, 2, 1.0)


@contextmanager
def other_service(address: tuple[str, int], says: bytes) -> Iterator[None]:
    """Something else at the address of the run's first process."""
    with socket.create_server(address) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    one, _ = server.accept()
                    one.sendall(says)
                    one.close()

        threading.Thread(target=serve, daemon=True).start()
        yield


@pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"\0\0\0\x20" + b"#CHALLENGE#" + b"x" * 21])
def test_a_rank_that_finds_something_else_there_says_so_in_time(address: tuple[str, int], says: bytes) -> None:
    with other_service(address, says), pytest.raises(UserError, match="could not join the run's first at"):
        join_rank(address, KEY, 1, 1.0)


def test_another_key_is_said(address: tuple[str, int]) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(receive_ranks, address, b"x" * 16, 2, 2.0)
        with pytest.raises(UserError, match="has another key"):
            join_rank(address, KEY, 1, 1.5)
        assert isinstance(first.exception(), UserError)


WAITING = """
import sys, time
from vistr.runtime import host_channel
host_channel.GRACE_SECONDS = 0.5
address, rank = ("127.0.0.1", int(sys.argv[1])), int(sys.argv[2])
key = b"0123456789abcdef"
peers = [host_channel.join_rank(address, key, rank)] if rank else host_channel.receive_ranks(address, key, 3)
watch = host_channel.Watch(peers)
print("there", flush=True)
time.sleep(600)  # as in a collective that waits for all
"""


def test_a_process_that_dies_takes_all_along_though_they_wait_for_something_else(address: tuple[str, int]) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WAITING, str(address[1]), str(rank)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for rank in range(3)
    ]  # fmt: skip
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "there\n"
    started[2].kill()
    said = [one.communicate(timeout=60)[1] for one in started]
    assert [one.returncode for one in started] == [1, 1, -9]
    assert all("another process of this run ended" in words for words in said[:2])
