"""What the ranks of a run tell each other, here as threads of one process; tests/test_launcher.py runs real ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from vistr.errors import UserError
from vistr.launcher import free_port
from vistr.runtime import parallel
from vistr.runtime.parallel import Group, Ranks, pieces


def on_ranks(size: int, work: Callable[[Ranks], Any]) -> list[Any]:
    """What `work` returns on every rank, or the UserError it raises."""
    hub = ("127.0.0.1", free_port())

    def one(rank: int) -> Any:
        group = Group(rank, size, hub, b"a key for this test")
        try:
            return work(group)
        except UserError as error:
            return error
        finally:
            group.watch.stop()
            for other in group.others:
                other.close()

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


def test_every_rank_hears_all_in_order() -> None:
    heard = on_ranks(3, lambda ranks: ranks.exchange({"rank": ranks.rank, "x": 0.1 * ranks.rank}))
    assert heard == [[{"rank": 0, "x": 0.0}, {"rank": 1, "x": 0.1}, {"rank": 2, "x": 0.2}]] * 3


def test_the_first_alone_collects() -> None:
    assert on_ranks(3, lambda ranks: ranks.collect([ranks.rank] * 2)) == [[[0, 0], [1, 1], [2, 2]], None, None]


def test_sums_and_votes() -> None:
    assert on_ranks(3, lambda ranks: ranks.sum([ranks.rank, 0.5])) == [[3, 1.5]] * 3
    assert on_ranks(3, lambda ranks: ranks.any(ranks.rank == 2)) == [True] * 3
    assert on_ranks(3, lambda ranks: ranks.any(False)) == [False] * 3


def test_the_first_goes_ahead() -> None:
    order: list[int] = []

    def work(ranks: Ranks) -> None:
        with ranks.first_ahead():
            if ranks.first:
                time.sleep(0.2)
            order.append(ranks.rank)

    on_ranks(3, work)
    assert order[0] == 0
    assert sorted(order) == [0, 1, 2]


def test_a_rank_that_is_gone_ends_the_others_with_a_sentence() -> None:
    def work(ranks: Ranks) -> None:
        ranks.wait()
        if ranks.rank != 1:
            ranks.wait()

    first, gone, other = on_ranks(3, work)
    assert gone is None
    assert [str(error) for error in (first, other)] == [parallel.LOST] * 2


def test_ranks_that_found_different_devices_end_with_one_sentence() -> None:
    def work(ranks: Ranks) -> None:
        assert isinstance(ranks, Group)
        ranks.require_same("GPU")
        ranks.require_same("CPU" if ranks.rank == 2 else "GPU")

    said = {str(error) for error in on_ranks(3, work)}
    assert len(said) == 1
    (sentence,) = said
    assert "different devices (process 0 on" in sentence
    assert ": GPU; process 2 on" in sentence
    assert "device=gpu or device=cpu" in sentence


def test_one_process_alone_is_a_run_too() -> None:
    ranks = Ranks()
    assert ranks.first
    assert ranks.shard == (0, 1)
    assert ranks.sum([2, 3.5]) == [2, 3.5]
    assert ranks.any(True)
    assert ranks.collect("x") == ["x"]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([], []), ([3, 3, 3], [[0, 1, 2]]), ([5, 5, 5], [[0, 1], [2]]), ([20, 1, 9, 1], [[0], [1, 2], [3]])],
)
def test_gradients_are_joined_up_to_a_limit(sizes: list[int], expected: list[list[int]]) -> None:
    assert pieces(sizes, 10) == expected


def test_a_process_that_a_rank_starts_is_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = {"VISTR_HUB": "host:1", "RANK_ID": "1", "DEVICE_ID": "1", "MS_ROLE": "MS_WORKER", "MS_WORKER_NUM": "2"}
    for name, value in {**joined, "MS_ENABLE_SOMETHING": "1"}.items():
        monkeypatch.setenv(name, value)
    environment = parallel.environment_alone()
    assert not joined.keys() & environment.keys()
    assert environment["MS_ENABLE_SOMETHING"] == "1"
