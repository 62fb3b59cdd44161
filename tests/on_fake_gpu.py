"""Run parts of the program on a GPU whose kernels do nothing: `python -m tests.on_fake_gpu STAND_INS CACHE`.

What MindSpore has no GPU kernel for, it refuses here as it would on a real one. Prints {part: error or null} as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

STAND_INS, CACHE = (Path(argument) for argument in sys.argv[1:])

from vistr.runtime import gpu_runtime  # noqa: E402

# Without this MindSpore computes on the CPU, silently, what has no GPU kernel.
os.environ["MS_DISABLE_KERNEL_BACKOFF"] = "1"
os.environ["GLOG_v"] = "3"  # noqa: SIM112 (glog spells it so)
runtime = gpu_runtime.prepare(STAND_INS, CACHE)
assert runtime is not None
assert runtime.ours
ctypes.CDLL(str(STAND_INS / "libcuda_ops.so.11"), mode=ctypes.RTLD_GLOBAL)

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import Tensor, mint, ops  # noqa: E402

from scripts.gpu_check import operators  # noqa: E402
from tests import tiny  # noqa: E402
from vistr.config import Device  # noqa: E402
from vistr.layers.deformable import DeformableConv  # noqa: E402
from vistr.models.backbones import LAYOUTS, Layout  # noqa: E402
from vistr.models.build import build_model  # noqa: E402
from vistr.models.settings import Deformable  # noqa: E402
from vistr.models.vistr import VisTR  # noqa: E402
from vistr.runtime.device import use_device  # noqa: E402
from vistr.training.optimizer import AdamW  # noqa: E402
from vistr.training.parts import step_noise  # noqa: E402
from vistr.training.settings import Optimizer  # noqa: E402

CLIP = tiny.clip(0, 2)


def train(precision: str, **changes: Any) -> VisTR:
    """A step with all that drops out in it, and its update; the network."""
    config = tiny.config(device=Device(target="gpu", precision=precision, tf32=True), **changes)
    network = build_model(config, tiny.NUM_CATEGORIES)
    images, context = network.prepare(CLIP.frames, CLIP.padding)
    network.detector.backbone.calibrate(images, context.sizes)
    step = tiny.training_step(network)
    result = step(CLIP, step_noise(config, tiny.NUM_FRAMES, 1), None, 1024.0)
    optimizer = AdamW(step.parameters, Optimizer(weight_decay=1e-4, clip_norm=0.1))
    # Not its `step`: the norm of gradients that nothing has computed may be no number, and then nothing is updated.
    for group, gradients in optimizer.grouped(result.gradients):
        group.run_square_sum(*gradients)
        group.run_update(Tensor(np.ones(8, np.float32)), *gradients).asnumpy()
    return network


def train_and_infer(precision: str) -> None:
    """Then the whole network, with all slots' masks."""
    for output in train(precision)(CLIP.frames, CLIP.padding):
        output.asnumpy()


def dilated_bottlenecks() -> None:
    """What R50 has and the tiny network has not; a block a stage is enough of it."""
    LAYOUTS["r50"] = Layout((1, 1, 1, 1), bottleneck=True)
    train("fp32", name="r50", dilation=True, pre_norm=True)


def deformable_encoder() -> None:
    """That reads its own frames and others."""
    train("fp16", kind=Deformable, temporal_points=1)


def windows(precision: str) -> None:
    """What a Swin has; the whole network too, with pictures that fill their arrays."""
    for output in train(precision, name="tiny_swin")(CLIP.frames, CLIP.padding):
        output.asnumpy()


def without_kernel() -> None:
    """Operators that the registry does not have for GPUs: each must be refused."""
    x = Tensor(np.ones((4, 6), np.float32))
    for name, use in (("layer_norm", layer_norm), ("std", standard_deviation), ("jitted", ms.jit(standard_deviation))):
        try:
            use(x).asnumpy()
        except (RuntimeError, TypeError):
            continue
        raise AssertionError(f"{name} found a kernel")


def layer_norm(x: Tensor) -> Tensor:
    return mint.nn.functional.layer_norm(x, (6,))


def standard_deviation(x: Tensor) -> Tensor:
    return ops.std(x)


def every_operator() -> None:
    """Those of the GPU check, forward and backward, eager and compiled, in both precisions."""
    for name in operators.CASES:
        operators.run(name, 0)
        if name not in operators.FLOAT32:
            operators.run(name, 0, "fp16")


def deformable_memory() -> None:
    """What is read for a chunk of images is gone before the next; what a chunk is cut from is not held once for each.

    The same figures every time: the pool counts what it gives out.
    """
    images = Tensor(np.zeros((16, 40, 64, 24), np.float32))
    offsets = Tensor(np.zeros((16, 40 * 64, 9), np.float32))
    # The 36 values a pixel of the output, and inputs with their gradients.
    rows, others = 16 * 40 * 64 * 36 * 12 * 4, 2 * images.nbytes + 4 * offsets.nbytes
    peaks = {n: deformable_peak(images, offsets, n) for n in (1, 4, 16)}
    assert all(peak < 1.7 * rows / n + 1.2 * others for n, peak in peaks.items()), (peaks, rows, others)


def deformable_peak(images: Tensor, offsets: Tensor, num_chunks: int) -> int:
    """Bytes that forward and backward pass of a deformable convolution take at the most."""
    layer = DeformableConv(images.shape[3], 12)
    layer.read.rows_a_chunk = images.size // images.shape[3] // num_chunks

    def total(x: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        return layer(x, dy, dx).sum()

    gradients = ms.grad(total, (0, 1, 2), ms.ParameterTuple(layer.trainable_params()))

    def backward(x: Tensor, dy: Tensor, dx: Tensor) -> Any:
        return gradients(x, dy, dx)

    ms.runtime.synchronize()
    ms.runtime.reset_peak_memory_stats()
    before = ms.runtime.memory_allocated()
    ms.jit(backward)(images, offsets, offsets)
    ms.runtime.synchronize()
    return int(ms.runtime.max_memory_allocated() - before)


def explain(part: Callable[[], None]) -> str | None:
    """What a part raises, None where it runs."""
    try:
        part()
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:500]}"
    return None


def main() -> None:
    parts: dict[str, Callable[[], None]] = {
        "fp32": lambda: train_and_infer("fp32"),
        "fp16": lambda: train_and_infer("fp16"),
        "dilated bottlenecks": dilated_bottlenecks,
        "deformable encoder": deformable_encoder,
        "windows": lambda: windows("fp32"),
        "windows, fp16": lambda: windows("fp16"),
        "every operator": every_operator,
        "without kernel": without_kernel,
        "deformable memory": deformable_memory,
    }
    answer: dict[str, Any] = {"device": use_device("gpu"), "libraries": mapped()}
    print("\n" + json.dumps(answer | {name: explain(part) for name, part in parts.items()}))


def mapped() -> list[str]:
    """The plugin and the stand-ins that this process has in memory."""
    names = {gpu_runtime.plugin().name, *(name for names in gpu_runtime.LIBRARIES for name in names[1:])}
    files = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if len(line.split()) > 5}
    return sorted(Path(file).name for file in files if Path(file).name in names)


if __name__ == "__main__":
    main()
