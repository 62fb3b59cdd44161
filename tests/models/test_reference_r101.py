"""A ResNet-101 network against the original's numbers."""

from __future__ import annotations

from tests.reference_run import ReferenceChecks


class TestR101(ReferenceChecks):
    case = "r101_plain"
