"""A ResNet-101 network against the original's numbers."""

from __future__ import annotations

import pytest

from tests.reference_run import ReferenceChecks

pytestmark = pytest.mark.slow


class TestR101(ReferenceChecks):
    case = "r101_plain"
