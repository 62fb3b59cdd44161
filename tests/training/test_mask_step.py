"""Masks and their losses a few objects at a time."""

from __future__ import annotations

from dataclasses import replace

from vistr.runtime import backend
from vistr.runtime.backend import CPU_LIMITS, GPU_LIMITS
from vistr.training.mask_step import group_size


def test_a_gpu_has_one_graph_for_any_number_of_objects_and_a_cpu_few() -> None:
    cpu, gpu = (replace(limits, loss_pixels=400) for limits in (CPU_LIMITS, replace(GPU_LIMITS, loss_sequences=4)))
    assert [group_size(count, 10, 100, cpu) for count in (1, 2, 3, 5, 8, 9, 10)] == [1, 2, 4, 4, 4, 4, 4]
    assert {group_size(count, 10, 100, gpu) for count in range(1, 11)} == {4}
    # Ten that nearly fit are two groups of five, not nine and one.
    assert group_size(10, 10, 44, cpu) == 5
    # One at least, and no more than there are slots.
    assert group_size(5, 10, 1000, cpu) == group_size(5, 10, 1000, gpu) == 1
    assert group_size(1, 3, 10, gpu) == 3


def test_a_gpu_takes_the_papers_clips_four_objects_at_a_time_and_in_half_precision_five() -> None:
    pixels = 36 * 80 * 136
    before = backend.current()
    try:
        backend.use("gpu")
        assert {group_size(count, 10, pixels, backend.limits()) for count in (1, 4, 10)} == {4}
        assert group_size(10, 10, pixels, backend.limits(half_precision=True)) == 5
        assert group_size(10, 10, pixels, backend.limits(less_memory=True)) == 2
        backend.use("gather")
        assert backend.limits(half_precision=True) == backend.limits()
    finally:
        backend.use(before)
