"""Writing into parameters."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, ops


def set_value(parameter: Parameter, value: np.ndarray) -> None:
    """Overwrite a parameter's value where it lies.

    `Parameter.set_data` puts another tensor in its place, which functions compiled before never get to see.
    """
    ops.assign(parameter, Tensor(np.ascontiguousarray(value)))
