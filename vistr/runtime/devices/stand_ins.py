"""Stand-ins for an NVIDIA driver and the CUDA 11 libraries, so that MindSpore's GPU plugin loads and runs anywhere.

What is real is MindSpore: it loads its plugin, chooses a GPU kernel for every operator, allocates from its memory pool
and launches. Kernels and library calls do nothing, succeed and are counted.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from vistr.files import user_cache
from vistr.runtime import gpu_runtime

SOURCES = {
    "libcudart.so.11.0": "cudart.c",
    "libcudnn.so.8": "cudnn.c",
    gpu_runtime.DRIVER: "driver.c",
}
KERNELS = "libcuda_ops.so.11"
# The symbols of each library that the plugin asks for.
SYMBOLS = {
    "libcudart.so.11.0": r"cuda[A-Z]",
    "libcublas.so.11": r"cublas",
    "libcudnn.so.8": r"cudnn",
    "libcufft.so.10": r"cufft",
    "libcurand.so.10": r"curand",
    "libcusolver.so.11": r"cusolver",
    "libcusparse.so.11": r"cusparse",
    "libnvrtc.so.11.2": r"nvrtc",
    gpu_runtime.DRIVER: r"cu[A-Z]",
}
# The CUDA libraries' calls that start no kernel: they make, describe or ask something.
NO_KERNEL = re.compile(r"cu[a-z]*(Create|Destroy|Set|Get|Find|Restore|Module|Stream|Dropout|nvrtc)")
COUNTING = (KERNELS, "libcublas.so.11", "libcudnn.so.8", gpu_runtime.DRIVER)
# Bytes of code: return 0, and the same for a call that counts.
ASSEMBLY = """\
.text
nothing: xor %eax, %eax
ret
counted: lock incq launches(%rip)
xor %eax, %eax
ret
.bss
.align 8
launches: .zero 8
.globl vistr_launches
.set vistr_launches, launches
"""


@dataclass(frozen=True)
class Counts:
    """Kernels launched, copies from and to the device and on it, and the bytes that the host reads and writes."""

    launches: int
    host_reads: int
    host_writes: int
    device_copies: int
    to_device: int
    from_device: int

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(a - b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


def why_not() -> str | None:
    """Why the stand-ins cannot be built here, None where they can."""
    absent = [tool for tool in ("gcc", "nm") if shutil.which(tool) is None]
    if absent:
        return f"{' and '.join(absent)} not found: install gcc (Debian and Ubuntu: apt install gcc)"
    if not gpu_runtime.plugin().is_file():
        return f"this MindSpore has no GPU plugin ({gpu_runtime.plugin().name})"
    return None


def ready() -> Path:
    """The folder of the stand-ins, built where it is not there yet: in the user's cache, or else a temporary one."""
    texts = [Path(__file__).read_text(), *(source_file(name).read_text() for name in sorted(SOURCES))]
    digest = hashlib.sha256("\0".join([*texts, version("mindspore")]).encode()).hexdigest()[:8]
    folder = user_cache() / f"idle-gpu-{digest}"
    if (folder / "complete").exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".idle-gpu-", dir=folder.parent))
    except OSError:
        draft = folder = Path(tempfile.mkdtemp(prefix="vistr-idle-gpu-"))
    build(draft)
    if draft != folder:
        try:
            draft.replace(folder)
        except OSError:
            # Another process has built them meanwhile.
            shutil.rmtree(draft)
    return folder


def build(folder: Path) -> None:
    """Compile every library into `folder`, laid out like NVIDIA's wheels, with the driver and the kernels beside."""
    plugin = gpu_runtime.plugin()
    kernels = plugin.parent / "gpu" / KERNELS
    wanted = symbols("--undefined-only", plugin)
    for wheel, name in gpu_runtime.LIBRARIES:
        compile_library(folder / "nvidia" / wheel / "lib" / name, of_library(name, wanted))
    collectives = symbols("--undefined-only", plugin.parent / "gpu11.6/libnvidia_collective.so")
    nccl = folder / "nvidia/nccl/lib" / gpu_runtime.NCCL
    compile_library(nccl, [symbol for symbol in collectives if symbol.startswith("nccl")])
    compile_library(folder / gpu_runtime.DRIVER, of_library(gpu_runtime.DRIVER, wanted))
    compile_library(folder / KERNELS, sorted(set(wanted) & set(symbols("--defined-only", kernels))))
    (folder / "complete").touch()


def of_library(name: str, wanted: list[str]) -> list[str]:
    """Those of the wanted symbols that a library has to bring."""
    pattern = SYMBOLS.get(name)
    return [symbol for symbol in wanted if pattern is not None and re.match(pattern, symbol)]


def compile_library(path: Path, names: list[str]) -> None:
    """A library in which every name that its C source does not define is a function that returns 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [".text"]
    for name in names:
        code = "nothing" if NO_KERNEL.match(name) else "counted"
        # Weak: what the C source defines takes its place.
        lines += [f".weak {name}", f".type {name}, @function", f".set {name}, {code}"]
    assembly, versions = path.with_suffix(".s"), path.with_suffix(".map")
    assembly.write_text(ASSEMBLY + "\n".join(lines) + "\n", encoding="utf-8")
    versions.write_text(f"{path.name} {{ global: *; }};\n", encoding="utf-8")
    sources = [str(assembly), *([str(source_file(path.name))] if path.name in SOURCES else [])]
    command = ["gcc", "-O1", "-shared", "-fPIC", "-w", f"-Wl,-soname,{path.name}", f"-Wl,--version-script={versions}"]
    subprocess.run([*command, "-o", str(path), *sources], check=True, capture_output=True)


def source_file(library: str) -> Path:
    """The C source of a library."""
    return Path(__file__).with_name(SOURCES[library])


def symbols(which: str, library: Path) -> list[str]:
    """Names of a library's symbols, without their versions; `which` is nm's option."""
    shown = subprocess.run(["nm", "-D", which, str(library)], check=True, capture_output=True, text=True).stdout
    return [line.split()[-1].partition("@")[0] for line in shown.splitlines()]


def load(folder: Path) -> None:
    """Load the stand-ins into this process, in place of whatever the machine has.

    To be called before `import mindspore`. Operators without a GPU kernel are refused from then on, not moved to the
    CPU.
    """
    os.environ["MS_DISABLE_KERNEL_BACKOFF"] = "1"
    # By their full paths: who asks for one of these names later on gets what is loaded.
    for name in (gpu_runtime.DRIVER, KERNELS):
        ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    gpu_runtime.load_wheels(folder / "nvidia", folder)


def counts() -> Counts:
    """What was asked of the stand-ins that this process has loaded; nothing where it has a real GPU, or none."""
    if not gpu_runtime.load_stand_ins():
        return Counts(0, 0, 0, 0, 0, 0)
    launches = sum(ctypes.c_long.in_dll(ctypes.CDLL(name), "vistr_launches").value for name in COUNTING)
    runtime = ctypes.CDLL("libcudart.so.11.0")
    copies, size = ((ctypes.c_long * 4).in_dll(runtime, f"vistr_{name}") for name in ("copies", "bytes"))
    return Counts(launches, copies[2], copies[1], copies[3], size[1], size[2])
