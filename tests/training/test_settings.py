"""Schedules: the step of the paper, a cosine, and their warm-up."""

from __future__ import annotations

import pytest

from vistr import load_config
from vistr.training.settings import SCHEDULES, CosineSchedule, Optimizer, StepSchedule

OPTIMIZER = Optimizer(1e-4, 1e-5)


def test_rates_drop_at_their_epoch() -> None:
    schedule = StepSchedule(drop_epoch=2)
    assert schedule.rates(OPTIMIZER, 0, 0, 9) == schedule.rates(OPTIMIZER, 1, 999, 9) == (1e-5, 1e-4)
    assert schedule.rates(OPTIMIZER, 2, 0, 9) == schedule.rates(OPTIMIZER, 5, 10, 9) == pytest.approx((1e-6, 1e-5))
    assert StepSchedule(drop_epoch=None).rates(OPTIMIZER, 99, 0, 9) == (1e-5, 1e-4)


@pytest.mark.parametrize(
    "schedule", [StepSchedule(warmup_steps=4, drop_epoch=1), CosineSchedule(warmup_steps=4)], ids=["step", "cosine"]
)
def test_rates_warm_up_from_the_first_step(schedule: StepSchedule | CosineSchedule) -> None:
    rates = [schedule.rates(OPTIMIZER, 0, step, 10**9)[1] for step in range(6)]
    assert rates == pytest.approx([0.25e-4, 0.5e-4, 0.75e-4, 1e-4, 1e-4, 1e-4])
    assert StepSchedule(warmup_steps=4, drop_epoch=1).rates(OPTIMIZER, 1, 1, 9) == pytest.approx((0.5e-6, 0.5e-5))


def test_a_cosine_ends_with_the_run_whatever_its_length() -> None:
    for total in (11, 101):
        schedule = CosineSchedule(warmup_steps=1, final_factor=0.1)
        factors = [schedule.factor(0, step, total) for step in (1, (total + 1) // 2, total)]
        assert factors == pytest.approx([1, 0.55, 0.1])


@pytest.mark.parametrize(("epochs", "drop"), [(1, 1), (3, 2), (6, 4), (18, 12), (20, 13)])
def test_the_drop_follows_the_epochs_unless_it_is_set(epochs: int, drop: int) -> None:
    # Before, epochs=3 alone was refused: the drop at 12 lay after the end.
    assert load_config([f"training.epochs={epochs}"]).schedule == StepSchedule(drop_epoch=drop)
    assert load_config([f"training.epochs={epochs}", "schedule.drop_epoch=null"]).schedule.drop_epoch is None
    assert load_config([f"training.epochs={epochs}", "schedule.drop_epoch=7"]).schedule.drop_epoch == 7


def test_every_schedule_is_an_option_and_a_study_may_be_run_with_another() -> None:
    for name in SCHEDULES:
        assert load_config([f"schedule={name}"]).schedule.name == name
    schedule = load_config(["experiments=quickstart", "schedule=cosine"]).schedule
    assert schedule == CosineSchedule(warmup_steps=20)
