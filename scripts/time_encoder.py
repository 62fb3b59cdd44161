"""The encoder alone, dense and deformable, on a CPU: `python -m scripts.time_encoder [--frames 9 18 36 72]`.

Seconds of a forward pass and of all gradients, in turn, the medians of several; with the processor's time, which other
programs disturb less. Maps are those of frames of 300x540.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor

from vistr.layers.parameters import weights_rng
from vistr.models.settings import TRANSFORMERS
from vistr.runtime.device import use_device

HEIGHT, WIDTH, CHANNELS = 10, 17, 384
KINDS = {"dense": "paper", "deformable": "deformable"}


def functions(kind: str, num_frames: int) -> list[Callable[[], None]]:
    """The compiled forward pass of an encoder on random maps, and that of its gradients; both wait for the result."""
    weights_rng.seed(0)
    transformer: Any = TRANSFORMERS[KINDS[kind]].build(num_frames=num_frames, recompute=False)
    rng, length = np.random.default_rng(0), num_frames * HEIGHT * WIDTH
    maps = Tensor(rng.standard_normal((1, num_frames, HEIGHT, WIDTH, CHANNELS)).astype(np.float32))
    position = Tensor(rng.standard_normal((1, length, CHANNELS)).astype(np.float32))
    mask = Tensor(np.zeros((1, length), np.float32))

    def forward(maps: Tensor) -> Tensor:
        return transformer.encode(maps, position, mask, None)

    def total(maps: Tensor) -> Tensor:
        return forward(maps).sum()

    gradients = ms.grad(total, 0, ms.ParameterTuple(transformer.encoder.trainable_params()))

    def backward(maps: Tensor) -> Any:
        return gradients(maps)

    run_forward, run_backward = ms.jit(forward), ms.jit(backward)
    return [lambda: run_forward(maps).asnumpy(), lambda: run_backward(maps)[0].asnumpy()]


def seconds(run: Callable[[], None]) -> tuple[float, float]:
    """What a call takes of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[36])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    use_device("cpu")
    for num_frames in arguments.frames:
        runs = {kind: functions(kind, num_frames) for kind in KINDS}
        for i, name in enumerate(("forward", "gradients")):
            for some in runs.values():
                some[i]()
            taken = [[seconds(some[i]) for some in runs.values()] for _ in range(arguments.repeats)]
            (dense, dense_cpu), (sparse, sparse_cpu) = np.median(np.array(taken), 0).tolist()
            print(
                f"{num_frames} frames, {name}: dense {dense:.3f} s ({dense_cpu:.3f} of the processor), deformable"
                f" {sparse:.3f} s ({sparse_cpu:.3f}): {sparse / dense:.2f} ({sparse_cpu / dense_cpu:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
