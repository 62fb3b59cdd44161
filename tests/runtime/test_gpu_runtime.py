"""What is prepared for MindSpore's GPU plugin, from a site-packages tree that only looks like NVIDIA's wheels."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vistr.errors import UserError
from vistr.runtime import gpu_runtime
from vistr.runtime.device import use_device


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files named like the wheels' libraries; no CUDA of the system's, and a driver."""
    folder = tmp_path / "site-packages"
    for wheel, name in gpu_runtime.LIBRARIES:
        library = folder / "nvidia" / wheel / "lib" / name
        library.parent.mkdir(parents=True, exist_ok=True)
        library.write_text(name)
    (folder / "nvidia/cudnn/lib/libcudnn_ops_infer.so.8").write_text("loaded by name, later")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/elsewhere")
    monkeypatch.setattr(gpu_runtime, "has_driver", lambda: True)
    monkeypatch.setattr(gpu_runtime, "num_gpus", lambda: 1)
    monkeypatch.setattr(gpu_runtime, "_prepared", None)
    return folder


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that were loaded, which are no libraries."""
    paths: list[str] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda path, mode=0: paths.append(path))
    return paths


def test_a_cuda_home_is_made_of_the_wheels(site_packages: Path, tmp_path: Path, loaded: list[str]) -> None:
    runtime = gpu_runtime.prepare(site_packages, tmp_path / "cache")
    assert runtime is not None
    assert runtime.ours
    lib64 = runtime.home / "lib64"
    assert os.environ["CUDA_HOME"] == str(runtime.home)
    assert os.environ["LD_LIBRARY_PATH"] == f"{lib64}:/elsewhere"
    said = subprocess.run([str(runtime.home / "bin/nvcc"), "--version"], capture_output=True, text=True).stdout
    assert "release 11.6, V11.6" in said
    assert (lib64 / "libcudnn.so.8").read_text() == "libcudnn.so.8"
    assert (lib64 / "libcudnn_ops_infer.so.8").exists()
    assert loaded[: len(gpu_runtime.LIBRARIES)] == [str(lib64 / name) for _, name in gpu_runtime.LIBRARIES]


def test_it_is_made_once_and_follows_the_wheels(site_packages: Path, tmp_path: Path, loaded: list[str]) -> None:
    first = gpu_runtime.prepare(site_packages, tmp_path / "cache")
    assert first is not None
    written = (first.home / "bin/nvcc").stat().st_mtime_ns
    (site_packages / "nvidia/cudnn/lib/libcudnn_ops_infer.so.8").unlink()
    (site_packages / "nvidia/cudnn/lib/libcudnn_adv.so.8").write_text("new")
    assert gpu_runtime.prepare(site_packages, tmp_path / "cache") == first
    assert (first.home / "bin/nvcc").stat().st_mtime_ns == written
    assert os.environ["LD_LIBRARY_PATH"].count("lib64") == 1
    names = {link.name for link in (first.home / "lib64").iterdir()}
    assert "libcudnn_adv.so.8" in names
    assert "libcudnn_ops_infer.so.8" not in names


def test_a_complete_cuda_11_of_the_system_is_left_alone(
    site_packages: Path, tmp_path: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = system_cuda(tmp_path, "11.6", monkeypatch)
    assert gpu_runtime.prepare(site_packages, tmp_path / "cache") == gpu_runtime.Runtime(home, ours=False)
    assert os.environ["LD_LIBRARY_PATH"] == str(home / "lib64")
    assert not (tmp_path / "cache").exists()
    (home / "lib64/libcudnn.so.8").unlink()
    runtime = gpu_runtime.prepare(site_packages, tmp_path / "cache")
    assert runtime is not None
    assert runtime.ours


def test_a_newer_cuda_is_not_what_the_plugin_wants(
    site_packages: Path, tmp_path: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = system_cuda(tmp_path, "13.0", monkeypatch)
    assert gpu_runtime.nvcc_release(home) == "13.0"
    runtime = gpu_runtime.prepare(site_packages, tmp_path / "cache")
    assert runtime is not None
    assert runtime.ours


def test_nccl_comes_from_the_wheel_beside_a_cuda_of_the_system_too(
    site_packages: Path, tmp_path: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    system_cuda(tmp_path, "11.6", monkeypatch)
    gpu_runtime.prepare(site_packages, tmp_path / "cache")
    assert loaded == [str(site_packages / "nvidia/nccl/lib/libnccl.so.2")]


def test_the_driver_loads_kernels_as_they_are_used_and_keeps_what_it_compiles(
    site_packages: Path, tmp_path: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_MODULE_LOADING", raising=False)
    monkeypatch.setenv("CUDA_CACHE_MAXSIZE", "1000")
    gpu_runtime.prepare(site_packages, tmp_path / "cache")
    assert os.environ["CUDA_MODULE_LOADING"] == "LAZY"
    assert os.environ["CUDA_CACHE_MAXSIZE"] == "1000"  # the user's own


def test_a_gpu_that_is_not_there_is_one_sentence(cpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_runtime, "has_driver", lambda: True)
    monkeypatch.setattr(gpu_runtime, "missing", lambda: None)
    monkeypatch.setattr(gpu_runtime, "num_gpus", lambda: 1)
    for target in ("gpu", "auto"):
        with pytest.raises(UserError, match=r"^GPU 3 is none of the 1 that this machine has, numbered from 0: .*\.$"):
            use_device(target, 3)


def test_the_driver_is_asked_for_the_number_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        def __init__(self, status: int) -> None:
            self.status = status

        def cuInit(self, flags: int) -> int:
            return self.status

        def cuDeviceGetCount(self, count: Any) -> int:
            count._obj.value = 3
            return 0

    for status, number in ((0, 3), (100, 0)):
        with monkeypatch.context() as patched:
            patched.setattr(ctypes, "CDLL", lambda path, status=status: Driver(status))
            assert gpu_runtime.num_gpus() == number


def test_without_a_driver_nothing_is_touched(
    site_packages: Path, tmp_path: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_runtime, "has_driver", lambda: False)
    assert gpu_runtime.prepare(site_packages, tmp_path / "cache") is None
    assert loaded == []
    assert os.environ["LD_LIBRARY_PATH"] == "/elsewhere"


def test_missing_libraries_are_named_with_the_way_to_get_them(site_packages: Path, tmp_path: Path) -> None:
    (site_packages / "nvidia/cudnn/lib/libcudnn.so.8").unlink()
    assert gpu_runtime.prepare(site_packages, tmp_path / "cache") is None
    sentence = "of the CUDA 11 libraries libcudnn.so.8 is missing: pip install -e .[gpu]"
    assert gpu_runtime.missing(site_packages) == sentence


def test_an_explicit_gpu_without_a_driver_is_one_sentence(cpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_runtime, "has_driver", lambda: False)
    with pytest.raises(UserError) as error:
        use_device("gpu")
    assert str(error.value) == (
        "device=gpu: there is no NVIDIA driver (libcuda.so.1): install one; or run with device=cpu"
    )
    assert use_device("auto") == "CPU"


def test_a_gpu_that_cannot_be_used_is_said_under_auto(
    cpu: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gpu_runtime, "has_driver", lambda: True)
    monkeypatch.setattr(gpu_runtime, "missing", lambda: "of the CUDA 11 libraries libX.so is missing: get it")
    assert use_device("auto") == "CPU"
    assert "the GPU is left unused: of the CUDA 11 libraries libX.so is missing: get it" in caplog.text


def system_cuda(folder: Path, release: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The CUDA_HOME of the environment from now on: it has every library, and its nvcc says this release."""
    home = folder / f"cuda-{release}"
    (home / "bin").mkdir(parents=True)
    (home / "lib64").mkdir()
    for _, name in gpu_runtime.LIBRARIES:
        (home / "lib64" / name).touch()
    nvcc = home / "bin/nvcc"
    nvcc.write_text(f'#!/bin/sh\necho "Cuda compilation tools, release {release}, V{release}.1"\n')
    nvcc.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(home))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(home / "lib64"))
    return home
