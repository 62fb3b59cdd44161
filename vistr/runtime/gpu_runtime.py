"""What MindSpore's GPU plugin wants to find before `import mindspore`, made from the libraries of the gpu extra.

MindSpore runs `$CUDA_HOME/bin/nvcc --version` to choose a plugin, and the plugin wants the CUDA 11 libraries. NVIDIA's
wheels have the libraries, but neither nvcc nor a folder to point at: one in the user's cache stands for both.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vistr.files import user_cache
from vistr.runtime import environment

DRIVER = "libcuda.so.1"
# The wheel's folder and the library's name, in the order they need each other.
LIBRARIES = (
    ("cuda_runtime", "libcudart.so.11.0"),
    ("cublas", "libcublasLt.so.11"),
    ("cublas", "libcublas.so.11"),
    ("cuda_nvrtc", "libnvrtc.so.11.2"),
    ("cufft", "libcufft.so.10"),
    ("curand", "libcurand.so.10"),
    ("cusparse", "libcusparse.so.11"),
    ("cusolver", "libcusolver.so.11"),
    ("cudnn", "libcudnn.so.8"),
)
# For several GPUs: the NCCL inside MindSpore has code for Pascal alone.
NCCL = "libnccl.so.2"
# What cuDNN and NVRTC load by name later on, when they no longer look where LD_LIBRARY_PATH points now.
LATER = (
    *(
        f"libcudnn_{part}.so.8"
        for part in ("ops_infer", "ops_train", "cnn_infer", "cnn_train", "adv_infer", "adv_train")
    ),
    "libnvrtc-builtins.so.11.8",
    NCCL,
)
SYSTEM_HOME = Path("/usr/local/cuda")
# Where the loader looks by itself; the first one is written into the plugin.
SYSTEM_PLACES = (SYSTEM_HOME / "lib64", Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64"))
# Names a folder of stand-ins for CUDA (vistr/runtime/devices), for rehearsals and tests without a GPU.
STAND_INS = "VISTR_STAND_INS"
HOW_TO_GET = "pip install -e .[gpu]"
NVCC = """\
#!/bin/sh
# Written by vistr: MindSpore chooses its GPU plugin by this answer, and the libraries beside it suit the one for 11.6.
echo "Cuda compilation tools, release 11.6, V11.6.124"
"""


@dataclass(frozen=True)
class Runtime:
    """Whose CUDA MindSpore is going to use: `home` is CUDA_HOME; `ours` says that it was made here."""

    home: Path
    ours: bool


_prepared: Runtime | None = None


def prepare(site_packages: Path | None = None, cache: Path | None = None) -> Runtime | None:
    """Make MindSpore's GPU plugin loadable; None where there is no driver, or libraries are missing.

    To be called before `import mindspore`. A CUDA 11 of the system that is complete is left alone. Otherwise
    CUDA_HOME becomes a folder in the cache, and the libraries are loaded into this process; processes it starts find
    them by LD_LIBRARY_PATH.
    """
    environment.set_defaults()
    if load_stand_ins() or not has_driver():
        return _prepared
    cache = cache or user_cache()
    system, folder = system_cuda(), wheels_folder(site_packages)
    # A process that another one has started finds the other's CUDA_HOME: no system's.
    if system is not None and system.parent != cache:
        os.environ.setdefault("CUDA_HOME", str(system))
        _load(folder / "nccl/lib" / NCCL)
        return Runtime(system, ours=False)
    return None if missing_libraries(folder) else load_wheels(folder, cache)


def load_wheels(folder: Path, cache: Path) -> Runtime:
    """Load the libraries of the wheels in `folder` into this process, and point CUDA_HOME at them."""
    global _prepared
    home = make_home(folder, cache)
    lib64 = str(home / "lib64")
    os.environ["CUDA_HOME"] = str(home)
    os.environ["LD_LIBRARY_PATH"] = ":".join([lib64, *(path for path in _loader_path() if path != lib64)])
    for _, name in LIBRARIES:
        ctypes.CDLL(f"{lib64}/{name}", mode=ctypes.RTLD_GLOBAL)
    for name in LATER:
        _load(home / "lib64" / name)
    _prepared = Runtime(home, ours=True)
    return _prepared


def load_stand_ins() -> bool:
    """Load the stand-ins that the environment names, which compute nothing; whether it names any."""
    folder = os.environ.get(STAND_INS)
    if folder is None:
        return False
    if _prepared is None:
        from vistr.runtime.devices import stand_ins

        stand_ins.load(Path(folder))
    return True


def _load(path: Path) -> None:
    # Missing parts, or a library of another version, are no reason not to try.
    with suppress(OSError):
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def num_gpus() -> int:
    """The GPUs that the driver shows to this process; 0 where there is no driver."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return 0
    count = ctypes.c_int()
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


def gpu_name(index: int) -> str:
    """What the driver calls a GPU, with its compute capability: "NVIDIA A100-SXM4-40GB 8.0"."""
    driver, device, name = ctypes.CDLL(DRIVER), ctypes.c_int(), ctypes.create_string_buffer(256)
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceGetName(name, len(name), device)
    capability = [ctypes.c_int(), ctypes.c_int()]
    for value, attribute in zip(capability, (75, 76), strict=True):
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
    return f"{name.value.decode(errors='replace')} {capability[0].value}.{capability[1].value}"


def has_driver() -> bool:
    """Whether an NVIDIA driver is installed."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


def missing(site_packages: Path | None = None) -> str | None:
    """What a GPU lacks on this machine and how to get it, one clause; None where nothing is known to lack."""
    if not has_driver():
        return f"there is no NVIDIA driver ({DRIVER}): install one"
    if num_gpus() == 0:
        return "the NVIDIA driver shows no GPU (nvidia-smi lists them, CUDA_VISIBLE_DEVICES hides them)"
    if not plugin().is_file():
        return f"this MindSpore has no GPU plugin ({plugin().name}): install the one pinned here, {HOW_TO_GET}"
    if not (_prepared or system_cuda()) and (names := missing_libraries(wheels_folder(site_packages))):
        return f"of the CUDA 11 libraries {', '.join(names)} {'is' if len(names) == 1 else 'are'} missing: {HOW_TO_GET}"
    return None


def plugin() -> Path:
    """MindSpore's plugin for CUDA 11.6; MindSpore is not imported for this."""
    return Path(sysconfig.get_path("platlib")) / "mindspore/lib/plugin/libmindspore_gpu.so.11.6"


def system_cuda() -> Path | None:
    """The CUDA that CUDA_HOME, or else /usr/local/cuda, names: where it is an 11.x whose libraries the loader finds."""
    home = Path(os.environ.get("CUDA_HOME") or SYSTEM_HOME)
    if not nvcc_release(home).startswith("11."):
        return None
    places = [*map(Path, _loader_path()), *SYSTEM_PLACES]
    complete = all(any((place / name).exists() for place in places) for _, name in LIBRARIES)
    return home if complete else None


def nvcc_release(home: Path) -> str:
    """The release that a CUDA's nvcc says it is, such as "11.6"; "" where there is none."""
    try:
        said = subprocess.run([str(home / "bin/nvcc"), "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    release = re.search(r"release (\d+\.\d+)", said.stdout)
    return release.group(1) if release else ""


def wheels_folder(site_packages: Path | None = None) -> Path:
    """Where NVIDIA's wheels are, `nvidia` in site-packages."""
    return (site_packages or Path(sysconfig.get_path("purelib"))) / "nvidia"


def missing_libraries(folder: Path) -> list[str]:
    """The libraries that the wheels there do not have."""
    return [name for wheel, name in LIBRARIES if not (folder / wheel / "lib" / name).is_file()]


def make_home(folder: Path, cache: Path) -> Path:
    """A CUDA_HOME of links to the wheels in `folder`, and an nvcc that says its release; kept from run to run."""
    home = cache / f"cuda-11-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    (home / "bin").mkdir(parents=True, exist_ok=True)
    (home / "lib64").mkdir(exist_ok=True)
    nvcc = home / "bin/nvcc"
    if not nvcc.is_file() or nvcc.read_text(encoding="utf-8") != NVCC:
        draft = nvcc.with_name(f".nvcc.{os.getpid()}")
        draft.write_text(NVCC, encoding="utf-8")
        mode = draft.stat().st_mode
        draft.chmod(mode | (mode & 0o444) >> 2)  # whoever may read it may run it
        os.replace(draft, nvcc)
    wanted = {path.name: path for path in _libraries(folder)}
    for link in (home / "lib64").iterdir():
        if link.name not in wanted and not link.name.startswith("."):
            link.unlink(missing_ok=True)
    for name, path in wanted.items():
        link = home / "lib64" / name
        if not link.is_symlink() or os.readlink(link) != str(path):
            # Several processes of one run do this at the same time.
            draft = link.with_name(f".{name}.{os.getpid()}")
            draft.symlink_to(path)
            os.replace(draft, link)
    return home


def _loader_path() -> list[str]:
    return [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path]


def _libraries(folder: Path) -> Iterable[Path]:
    # cuDNN loads its parts by name later on: everything that is a library is linked.
    return sorted(path for path in folder.glob("*/lib/*.so*") if path.is_file())
