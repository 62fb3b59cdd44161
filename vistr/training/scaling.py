"""Dynamic loss scaling (arXiv 1710.03740), which keeps half precision's gradients from vanishing and overflowing."""

from __future__ import annotations

from vistr.weights.checkpoint import TrainingState

LARGEST_SCALE = 2.0**24
SMALLEST_SCALE = 2.0**-8
STEPS_TO_GROW = 2000


class LossScale:
    """The factor of the loss at each step: doubled after 2000 steps without an overflow, halved at an overflow.

    It lives in the run's TrainingState, so that a resumed run goes on with it. In float32 it is 1 for good.
    """

    def __init__(self, state: TrainingState, first: float | None) -> None:
        """`first` is the factor of a new run, None for float32."""
        self.state, self.dynamic = state, first is not None
        if first is None:
            state.loss_scale, state.steps_at_scale = None, 0
        elif state.loss_scale is None:
            state.loss_scale = first

    @property
    def value(self) -> float:
        """The factor to use now."""
        return 1.0 if self.state.loss_scale is None else self.state.loss_scale

    @property
    def can_shrink(self) -> bool:
        """Whether an overflow may still be the scale's fault, and not the network's."""
        return self.dynamic and self.value > SMALLEST_SCALE

    def passed(self) -> None:
        """Tell that a step's gradients were finite."""
        if not self.dynamic:
            return
        self.state.steps_at_scale += 1
        if self.state.steps_at_scale >= STEPS_TO_GROW:
            self.state.loss_scale, self.state.steps_at_scale = min(2 * self.value, LARGEST_SCALE), 0

    def overflowed(self) -> None:
        """Tell that they were not: such a step updates nothing."""
        self.state.loss_scale, self.state.steps_at_scale = self.value / 2, 0
