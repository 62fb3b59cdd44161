"""Dropout: its rate, and that (seed, step, site) decide it."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor

from tests.numeric import random
from vistr.layers import dropout
from vistr.layers.dropout import Dropout, noise_pool, place

pytestmark = pytest.mark.usefixtures("cpu")


def test_the_pool_drops_at_its_rate_and_keeps_the_mean() -> None:
    pool = noise_pool(0.1, seed=3, step=5)
    assert set(np.unique(pool)) == {0, np.float32(1 / 0.9)}
    assert (pool == 0).mean() == pytest.approx(0.1, abs=0.002)
    assert pool.mean() == pytest.approx(1, abs=0.002)


def test_seed_and_step_alone_decide_the_pool() -> None:
    pool = noise_pool(0.5, 1, 2)
    np.testing.assert_array_equal(pool, noise_pool(0.5, 1, 2))
    for other in (noise_pool(0.5, 2, 2), noise_pool(0.5, 1, 3), noise_pool(0.5, 2, 1)):
        assert (pool == other).mean() == pytest.approx(0.5, abs=0.01)


def test_an_input_is_multiplied_by_its_own_part_of_the_pool() -> None:
    noise = Tensor(noise_pool(0.5, 0, 0))
    x = random(0, 7, 9)
    kept = [Dropout(site)(Tensor(x), noise).asnumpy() for site in (4, 4, 5)]
    np.testing.assert_array_equal(kept[0], kept[1])
    assert 0.2 < (kept[0] == kept[2]).mean() < 0.8
    assert ((kept[0] == 0) | np.isclose(kept[0], 2 * x)).all()


def test_sites_begin_in_different_places() -> None:
    assert len({place(site, part) for site in range(200) for part in range(8)}) == 1600


def test_an_input_larger_than_the_pool_reads_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropout, "POOL_SIZE", 16)
    factors = Dropout(3)(Tensor(np.ones((5, 8), np.float32)), Tensor(noise_pool(0.5, 0, 0))).asnumpy().ravel()
    np.testing.assert_array_equal(factors, np.resize(factors[:16], 40))
    assert 0 < (factors[:16] == 0).sum() < 16


def test_without_noise_nothing_is_dropped() -> None:
    x = Tensor(random(0, 3))
    assert Dropout(0)(x, None) is x
