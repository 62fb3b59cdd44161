"""Dropout: its rate, and that (seed, step, site) decide it."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor

from tests.numeric import random, values_and_gradients
from vistr.layers import dropout
from vistr.layers.dropout import Dropout, DropPath, noise_pool, path_factors, place
from vistr.runtime import backend

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


def test_branches_are_left_out_at_their_rates_by_seed_and_step_alone() -> None:
    rates = np.array([0, 0.3, 0.6])
    factors = path_factors(rates, 20_000, 3, 5)
    np.testing.assert_array_equal(factors, path_factors(rates, 20_000, 3, 5))
    np.testing.assert_allclose((factors == 0).mean(0), rates, atol=0.01)
    np.testing.assert_allclose(factors.max(0), 1 / (1 - rates), rtol=1e-6)
    # Neither another step's nor the numbers that dropout's pool is drawn from.
    for other in (path_factors(rates, 20_000, 3, 6), path_factors(rates, 20_000, 4, 5)):
        assert 0.4 < (factors == other)[:, 1].mean() < 0.7
    pool = noise_pool(0.3, 3, 5)[:60_000].reshape(-1, 3)
    assert abs(np.corrcoef(pool[:, 1], factors[:, 1])[0, 1]) < 0.03


@pytest.mark.parametrize("kernels", ["gather", "gpu"])
def test_an_images_rows_have_its_factor(kernels: backend.Backend) -> None:
    backend.use(kernels)
    layer, factors = DropPath(), np.array([0, 2, 1.5], np.float32)
    rows = random(0, 12, 5)
    out, (gradient, none) = values_and_gradients(layer, rows, factors)
    np.testing.assert_allclose(out, rows * factors.repeat(4)[:, None], rtol=1e-6)
    np.testing.assert_allclose(gradient, random(99, 12, 5) * factors.repeat(4)[:, None], rtol=1e-6)
    assert not none.any()
