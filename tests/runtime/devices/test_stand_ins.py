"""Stand-ins for CUDA: which calls they count as kernels, and what they say of sizes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from vistr.runtime import gpu_runtime
from vistr.runtime.devices import stand_ins


@pytest.mark.parametrize(
    ("symbol", "counted"),
    [
        ("cudnnConvolutionForward", True),
        ("cudnnSoftmaxBackward", True),
        ("cublasGemmEx", True),
        ("cuLaunchKernel", True),
        ("_Z7GatherDI6floatE", True),
        ("cudnnSetTensorNdDescriptor", False),
        ("cudnnGetConvolutionForwardWorkspaceSize", False),
        ("cublasSetStream_v2", False),
        ("cudnnDropoutGetStatesSize", False),
        ("cuModuleLoadDataEx", False),
    ],
)
def test_what_only_describes_or_asks_is_no_kernel(symbol: str, counted: bool) -> None:
    assert (stand_ins.NO_KERNEL.match(symbol) is None) is counted


def test_a_library_brings_the_symbols_of_its_own() -> None:
    wanted = ["cudaMalloc", "cuInit", "cublasGemmEx", "cudnnIm2Col", "malloc"]
    assert stand_ins.of_library(gpu_runtime.DRIVER, wanted) == ["cuInit"]
    assert stand_ins.of_library("libcudart.so.11.0", wanted) == ["cudaMalloc"]
    assert stand_ins.of_library("libcublasLt.so.11", wanted) == []


def test_without_stand_ins_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(gpu_runtime.STAND_INS, raising=False)
    assert stand_ins.counts() == stand_ins.Counts(0, 0, 0, 0, 0, 0)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_tensor_descriptor_knows_its_size(tmp_path: Path) -> None:
    library = tmp_path / "cudnn.so"
    source = Path(stand_ins.__file__).with_name("cudnn.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", source, "-o", library], check=True)
    cudnn, half = ctypes.CDLL(str(library)), 2
    descriptor, size = ctypes.c_void_p(), ctypes.c_size_t()
    cudnn.cudnnCreateTensorDescriptor(ctypes.byref(descriptor))
    cudnn.cudnnSetTensor4dDescriptor(descriptor, 0, half, 36, 64, 160, 240)
    cudnn.cudnnGetTensorSizeInBytes(descriptor, ctypes.byref(size))
    assert size.value == 36 * 64 * 160 * 240 * 2
