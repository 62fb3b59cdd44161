"""ResNet-50 networks against the original's numbers: a plain clip, one with padding, one without objects."""

from __future__ import annotations

import numpy as np

from tests.reference_run import ReferenceChecks, Run


class TestPlain(ReferenceChecks):
    case = "r50_plain"
    call_network = True

    def test_calling_the_network(self, run: Run) -> None:
        for name, value in run.called.items():
            tolerance = 1e-3 if name == "masks" else 1e-4
            theirs = run.arrays[name if name.startswith("aux") else f"pred_{name}"]
            np.testing.assert_allclose(value, theirs, rtol=0, atol=tolerance, err_msg=name)


class TestEmpty(ReferenceChecks):
    case = "r50_empty"
