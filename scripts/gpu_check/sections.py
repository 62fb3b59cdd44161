"""What runs in a process of its own: versions, operators and golden cases on one device."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.gpu_check.processes import Row


def main(arguments: Sequence[str]) -> int:
    """`versions DEVICE FILE`, `operators DEVICE NAMES FOLDER FILE` or `golden DEVICE CASE FILE`."""
    logging.basicConfig(level=logging.ERROR)
    name, device, *rest, file = arguments
    from vistr import gpu_runtime

    if device == "gpu":
        gpu_runtime.prepare()
    sections: dict[str, Callable[..., None]] = {
        "versions": versions,
        "names": names,
        "operators": operators,
        "golden": golden,
    }
    sections[name](device, *rest, Path(file))
    return 0


def start(device: str, kernels: str) -> None:
    """Choose the device, exact arithmetic, and the kernels of the layers."""
    import mindspore as ms

    from vistr.device import use_device
    from vistr.layers import backend

    if use_device(device) == "GPU":
        # TF32 has ten bits of mantissa: no error of the network's.
        precision = ms.device_context.gpu.op_precision
        precision.conv_allow_tf32(False)
        precision.matmul_allow_tf32(False)
    backend.use("native" if kernels == "native" else "gather")


def versions(device: str, file: Path) -> None:
    """What the machine is, and whether the device computes at all."""
    start(device, "native")
    import numpy as np
    from mindspore import Tensor, ops

    from vistr.evaluation.benchmark import environment, matmul_rates

    about = environment("GPU" if device == "gpu" else "CPU")
    for name in ("gpu", "cpu", "cores", "memory_gb", "python", "mindspore", "numpy", "platform"):
        if about[name] is not None:
            Row(name, True, str(about[name])).append_to(file)
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    product = ops.matmul(Tensor(x), Tensor(x.T)).asnumpy()
    Row("a matrix product is right", bool(np.array_equal(product, x @ x.T)), str(product[0, 0])).append_to(file)
    rates = matmul_rates()
    Row("2048x2048x2048 products", True, ", ".join(f"{k} {v:.0f} GFLOP/s" for k, v in rates.items())).append_to(file)


def names(device: str, file: Path) -> None:
    """The operators there are, as one row: the process that asks does without MindSpore."""
    start(device, "gather")
    from scripts.gpu_check.operators import CASES

    Row("operators", True, json.dumps(list(CASES))).append_to(file)


def operators(device: str, kernels: str, names: str, folder: str, file: Path) -> None:
    """Compute cases and leave their arrays in `folder`; a row says that one is done, or what it raised."""
    start(device, kernels)
    import numpy as np

    from scripts.gpu_check.operators import run

    for name in json.loads(names):
        try:
            np.savez(Path(folder) / f"{name}.npz", **run(name, seed=0))
            Row(name, True, "").append_to(file)
        except Exception as error:
            lines = [line for line in str(error).splitlines() if any(c.isalpha() for c in line)]
            reason = lines[0].strip()[:200] if lines else ""
            Row(name, False, f"{type(error).__name__}: {reason}").append_to(file)


def golden(device: str, case: str, file: Path) -> None:
    """Outputs, losses and gradients of a reference case of the original's."""
    start(device, "native" if device == "gpu" else "gather")
    from scripts.gpu_check.golden import compare

    # The CPU's limits are those of the tests; a GPU adds in another order.
    for row in compare(case, device, slack=1 if device == "cpu" else 10):
        row.append_to(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
