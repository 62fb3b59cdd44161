"""ResNet-50 networks against the original's numbers: a plain clip, one with padding, one without objects."""

from __future__ import annotations

import pytest

from tests.reference_run import ReferenceChecks

pytestmark = pytest.mark.slow


class TestPlain(ReferenceChecks):
    case = "r50_plain"
    compiled = True


class TestEmpty(ReferenceChecks):
    case = "r50_empty"
