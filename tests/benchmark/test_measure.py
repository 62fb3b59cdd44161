"""The parts of a benchmark: timings, rates, sizes of the sweep, and processes of their own that fail."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from vistr.benchmark.measure import environment, matmul_rates, sweep_sizes, thirds, time_runs
from vistr.runtime.device import use_device


def test_the_first_run_is_kept_apart() -> None:
    calls: list[int] = []

    def run() -> None:
        calls.append(1)
        time.sleep(0.2 if len(calls) == 1 else 0.001)

    timing = time_runs(run, 3, amount=6)
    assert len(calls) == 4
    assert timing.repeats == 3
    assert timing.first_seconds >= 0.2
    assert timing.min_seconds <= timing.median_seconds <= timing.max_seconds
    assert timing.per_second == pytest.approx(6 / timing.median_seconds)


def test_matmul_rates_of_both_libraries() -> None:
    use_device("cpu")
    rates = matmul_rates(size=64, repeats=2)
    assert set(rates) == {"numpy", "mindspore"}
    assert all(rate > 0 for rate in rates.values())


def test_the_environment_names_what_figures_depend_on() -> None:
    found = environment("CPU")
    assert found["gpu"] is None
    assert found["cpu"]
    assert found["cores"] >= 1
    assert 0.1 < found["memory_gb"] < 1e5
    assert all(found[name] for name in ("threads", "python", "mindspore", "numpy", "platform"))


@pytest.mark.parametrize(("num_frames", "expected"), [(36, [12, 24, 36]), (4, [1, 3, 4]), (1, [1])])
def test_a_sweep_ends_at_the_configured_frames(num_frames: int, expected: Sequence[int]) -> None:
    assert thirds(num_frames) == expected


@pytest.mark.parametrize(
    ("whole", "heights", "expected"),
    [
        ((300, 540), [], [(160, 288), (224, 416), (300, 540)]),
        ((96, 160), [], [(64, 96), (96, 160)]),
        ((32, 64), [], [(32, 64)]),
        ((96, 160), [192, 96, 50], [(50, 96), (96, 160), (192, 320)]),
    ],
)
def test_sizes_of_a_sweep_keep_the_aspect_ratio(
    whole: tuple[int, int], heights: list[int], expected: list[tuple[int, int]]
) -> None:
    assert sweep_sizes(whole, heights, 32) == expected
