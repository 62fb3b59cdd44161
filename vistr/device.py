"""Choosing the device, and what a process takes of it."""

from __future__ import annotations

import ctypes
import logging
import resource
from typing import Literal

import mindspore as ms

from vistr.errors import UserError
from vistr.layers import backend

logger = logging.getLogger(__name__)
DeviceName = Literal["CPU", "GPU"]


def use_device(target: str, index: int = 0) -> DeviceName:
    """Make "cpu", "gpu" or "auto" (the GPU where there is one) the device of everything built from now on.

    Raises UserError where a GPU is asked for and none can be used.
    """
    name: DeviceName = "CPU"
    if target == "gpu" or (target == "auto" and has_driver()):
        name = _use_gpu(index, required=target == "gpu")
    if name == "CPU":
        ms.set_device("CPU")
    backend.use("native" if name == "GPU" else "gather")
    return name


def has_driver() -> bool:
    """Whether an NVIDIA driver is installed."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _use_gpu(index: int, required: bool) -> DeviceName:
    if not has_driver():
        raise UserError("device=gpu: there is no NVIDIA driver (libcuda.so.1); install one, or run with device=cpu")
    try:
        ms.set_device("GPU", index)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        if required:
            raise UserError(
                f"device=gpu: MindSpore cannot use GPU {index} ({reason}); it needs CUDA 11.6 and cuDNN 8 with"
                " CUDA_HOME set, or run with device=cpu"
            ) from error
        logger.warning("a GPU is there, but MindSpore cannot use it: %s", reason)
        return "CPU"
    return "GPU"


def peak_memory_gb(name: DeviceName) -> float:
    """The most memory this process has had so far, in GB (1e9 bytes): resident on a CPU, allocated on a GPU."""
    if name == "GPU":
        return float(ms.runtime.max_memory_allocated()) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
