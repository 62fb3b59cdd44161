"""What runs in a process of its own: versions, operators and golden cases on one device."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.gpu_check.processes import Row

if TYPE_CHECKING:
    from vistr.runtime.backend import Backend


def main(arguments: Sequence[str]) -> int:
    """`versions DEVICE FILE`, `operators DEVICE KERNELS PRECISION NAMES FOLDER FILE`, `golden DEVICE CASE FILE` ..."""
    logging.basicConfig(level=logging.ERROR)
    name, device, *rest, file = arguments
    from vistr.runtime import gpu_runtime

    if device == "gpu":
        gpu_runtime.prepare()
    sections: dict[str, Callable[..., None]] = {
        "versions": versions,
        "names": names,
        "operators": operators,
        "optimizer": optimizer,
        "convolution": convolution,
        "golden": golden,
    }
    sections[name](device, *rest, Path(file))
    return 0


def start(device: str, kernels: Backend) -> None:
    """Choose the device, exact arithmetic, and the kernels of the layers."""
    import mindspore as ms

    from vistr.runtime import backend
    from vistr.runtime.device import use_device

    if use_device(device) == "GPU":
        # TF32 has ten bits of mantissa: no error of the network's.
        precision = ms.device_context.gpu.op_precision
        precision.conv_allow_tf32(False)
        precision.matmul_allow_tf32(False)
        kernels = "gpu" if kernels == "native" else kernels
    backend.use(kernels)


def versions(device: str, file: Path) -> None:
    """What the machine is, and whether the device computes at all."""
    start(device, "native")
    import numpy as np
    from mindspore import Tensor, ops

    from vistr.benchmark.measure import environment, matmul_rates

    about = environment("GPU" if device == "gpu" else "CPU")
    for name in ("gpu", "cpu", "cores", "memory_gb", "python", "mindspore", "numpy", "platform"):
        if about[name] is not None:
            Row(name, True, str(about[name])).append_to(file)
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    product = ops.matmul(Tensor(x), Tensor(x.T)).asnumpy()
    Row("a matrix product is right", bool(np.array_equal(product, x @ x.T)), str(product[0, 0])).append_to(file)
    rates = matmul_rates()
    Row("2048x2048x2048 products", True, ", ".join(f"{k} {v:.0f} GFLOP/s" for k, v in rates.items())).append_to(file)


def names(device: str, precision: str, file: Path) -> None:
    """The operators there are in that precision, as one row: the process that asks does without MindSpore."""
    start(device, "gather")
    from scripts.gpu_check.operators import CASES, FLOAT32

    chosen = [name for name in CASES if precision == "fp32" or name not in FLOAT32]
    Row("operators", True, json.dumps(chosen)).append_to(file)


def operators(device: str, kernels: Backend, precision: str, names: str, folder: str, file: Path) -> None:
    """Compute cases and leave their arrays in `folder`; a row says that one is done, or what it raised."""
    start(device, kernels)
    import numpy as np

    from scripts.gpu_check.operators import run

    for name in json.loads(names):
        try:
            np.savez(Path(folder) / f"{name}.npz", **run(name, 0, precision))
            Row(name, True, "").append_to(file)
        except Exception as error:
            lines = [line for line in str(error).splitlines() if any(c.isalpha() for c in line)]
            reason = lines[0].strip()[:200] if lines else ""
            Row(name, False, f"{type(error).__name__}: {reason}").append_to(file)


def optimizer(device: str, file: Path) -> None:
    """Three updates of two parameters, against AdamW's formula in float64."""
    start(device, "native")
    import numpy as np
    from mindspore import Parameter, Tensor

    from vistr.training.optimizer import AdamW
    from vistr.training.settings import Optimizer

    rng, rate, decay = np.random.default_rng(0), 1e-3, 1e-2
    values = [rng.standard_normal(shape).astype(np.float32) for shape in ((50, 30), (7,))]
    parameters = [Parameter(Tensor(value), name=f"parameter{i}") for i, value in enumerate(values)]
    adam = AdamW(parameters, Optimizer(weight_decay=decay, clip_norm=0.1))
    expected = [value.astype(np.float64) for value in values]
    first, second = ([np.zeros_like(value) for value in expected] for _ in range(2))
    for update in range(1, 4):
        gradients = [rng.standard_normal(value.shape).astype(np.float32) for value in values]
        norm = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients))
        adam.step([Tensor(g) for g in gradients], (rate, rate))
        for i, gradient in enumerate(gradients):
            clipped = gradient.astype(np.float64) * min(1, 0.1 / (norm + 1e-6))
            first[i] = 0.9 * first[i] + 0.1 * clipped
            second[i] = 0.999 * second[i] + 0.001 * clipped**2
            moved = first[i] / (1 - 0.9**update) / (np.sqrt(second[i] / (1 - 0.999**update)) + 1e-8)
            expected[i] = expected[i] * (1 - rate * decay) - rate * moved
    worst = max(float(np.abs(p.asnumpy() - e).max()) for p, e in zip(parameters, expected, strict=True))
    Row("AdamW, three updates", worst <= 1e-6, f"largest difference {worst:.2g} (limit 1e-06)").append_to(file)


def convolution(device: str, size: str, file: Path) -> None:
    """The time of the 3-D head's first convolution, forward and backward: libraries may have no fast way for it."""
    start(device, "native")
    import time

    import mindspore as ms
    import numpy as np
    from mindspore import Tensor

    from vistr.layers.conv3d import SequenceConv

    shape = (10, 36, 80, 136, 24) if size == "paper" else (2, 4, 16, 24, 24)

    def seconds(x: Tensor) -> float:
        layer = SequenceConv(24, 12, 3)

        def total(x: Tensor) -> Tensor:
            return layer(x).sum()

        gradients = ms.grad(total, 0, ms.ParameterTuple(layer.trainable_params()))

        def backward(x: Tensor) -> Any:
            return gradients(x)

        run, found = ms.jit(backward), []
        for _ in range(4):
            started = time.perf_counter()
            run(x)[0].asnumpy()
            found.append(time.perf_counter() - started)
        return min(found[1:])

    gflop = 3 * 2 * 27 * 24 * 12 * np.prod(shape[:-1], dtype=float) / 1e9
    for precision, dtype in (("fp32", np.float32), ("fp16", np.float16)):
        best = seconds(Tensor(np.ones(shape, dtype)))
        name = f"dilated 3-D convolution, {'x'.join(map(str, shape))}, {precision}"
        Row(name, True, f"{best:.3g} s forward and backward, {gflop / best:.3g} GFLOP/s").append_to(file)


def golden(device: str, case: str, file: Path) -> None:
    """Outputs, losses and gradients of a reference case of the original's."""
    start(device, "native" if device == "gpu" else "gather")
    from scripts.gpu_check.golden import compare

    # The CPU's limits are those of the tests; a GPU adds in another order.
    for row in compare(case, device, slack=1 if device == "cpu" else 10):
        row.append_to(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
