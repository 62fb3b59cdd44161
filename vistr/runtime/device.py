"""Choosing the device, and what a process takes of it."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import Literal

import mindspore as ms

from vistr.errors import UserError
from vistr.runtime import backend, gpu_runtime, parallel, private, system

logger = logging.getLogger(__name__)
NUM_THREADS = 5
DeviceName = Literal["CPU", "GPU"]
_chosen: tuple[DeviceName, int | None] | None = None


def use_device(target: str, index: int = 0) -> DeviceName:
    """Make "cpu", "gpu" or "auto" (the GPU where there is one) the device of everything built from now on.

    Of several processes on one machine each takes a GPU of its own, counted from `index`.
    Raises UserError where a GPU is asked for and none can be used, or where there are fewer than that.
    """
    name: DeviceName = "CPU"
    if target == "gpu" or (target == "auto" and gpu_runtime.has_driver()):
        name = _use_gpu(index + parallel.local_rank(), required=target == "gpu")
    if name == "CPU":
        _set_device("CPU", None)
    elif os.environ.get(gpu_runtime.STAND_INS):
        _say(logging.WARNING, f"{gpu_runtime.STAND_INS} is set: the GPU is a stand-in, and nothing is computed")
    backend.use("gpu" if name == "GPU" else "gather")
    _say(logging.INFO, f"computing on the {name}")
    return name


def allow_tf32(allowed: bool | None) -> None:
    """Round what a GPU multiplies in float32 to TF32, or do not; None leaves convolutions rounded, products exact."""
    if allowed is not None and ms.get_context("device_target") == "GPU":
        precision = ms.device_context.gpu.op_precision
        precision.conv_allow_tf32(allowed)
        precision.matmul_allow_tf32(allowed)


def _use_gpu(index: int, required: bool) -> DeviceName:
    lacking = gpu_runtime.missing()
    if lacking is None:
        if index >= (count := gpu_runtime.num_gpus()):
            raise UserError(
                f"GPU {index} is none of the {count} that this machine has, numbered from 0: device.id= names the first"
                " to use, and every process of a run on this machine takes the next."
            )
        try:
            _set_device("GPU", index)
        except (RuntimeError, ValueError) as error:
            # MindSpore puts rules of dashes between its sentences.
            said = [line.strip() for line in str(error).splitlines() if any(c.isalpha() for c in line)]
            lacking = f"MindSpore cannot use GPU {index}: {said[0] if said else type(error).__name__}"
        else:
            return "GPU"
    if required:
        raise UserError(f"device=gpu: {lacking}; or run with device=cpu")
    _say(logging.WARNING, f"the GPU is left unused: {lacking}")
    return "CPU"


def _set_device(name: DeviceName, index: int | None) -> None:
    """Choose a device, unless it is chosen: once the ranks of a run are joined MindSpore allows no further choice."""
    global _chosen
    if _chosen != (name, index):
        ms.set_device(name, index)
        if name == "GPU":
            _use_threads()
        _chosen = (name, index)


@lru_cache
def _use_threads() -> None:
    """Have MindSpore launch kernels with 5 threads, its own default, also on machines of few cores.

    There it takes fewer, and then every compiled graph holds the inputs of its last call until the next one.
    """
    if not private.launch_threads_are_set():
        ms.runtime.dispatch_threads_num(NUM_THREADS)


@lru_cache
def _say(level: int, message: str) -> None:
    """Log it the first time: the device is chosen anew for every network."""
    logger.log(level, message)


def peak_memory_gb(name: DeviceName) -> float:
    """The most memory this process has had so far, in GB (1e9 bytes): resident on a CPU, allocated on a GPU."""
    if name == "GPU":
        return float(ms.runtime.max_memory_allocated()) / 1e9
    return system.peak_memory() / 1e9
