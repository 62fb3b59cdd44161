"""Stand-ins for an NVIDIA driver and the CUDA 11 libraries, so that MindSpore's GPU plugin loads and runs anywhere.

Device memory is host memory, copies are copies, every kernel and library call does nothing and succeeds. What is real
is MindSpore: it loads the plugin, chooses a GPU kernel for every operator and launches it. What it computes is nothing.
"""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

# Which wheel of the gpu extra brings which library that the plugin asks for.
WHEELS = {
    "cuda_runtime": ("libcudart.so.11.0",),
    "cublas": ("libcublasLt.so.11", "libcublas.so.11"),
    "cudnn": ("libcudnn.so.8",),
    "cufft": ("libcufft.so.10",),
    "curand": ("libcurand.so.10",),
    "cusolver": ("libcusolver.so.11",),
    "cusparse": ("libcusparse.so.11",),
    "cuda_nvrtc": ("libnvrtc.so.11.2",),
}
PREFIXES = {
    "libcudart.so.11.0": "cuda",
    "libcublas.so.11": "cublas",
    "libcudnn.so.8": "cudnn",
    "libcufft.so.10": "cufft",
    "libcurand.so.10": "curand",
    "libcusolver.so.11": "cusolver",
    "libcusparse.so.11": "cusparse",
    "libnvrtc.so.11.2": "nvrtc",
}
DRIVER = "libcuda.so.1"

# The calls that have to give something back; all others only succeed.
WRITTEN = {
    "libcudart.so.11.0": r"""
int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaMemGetInfo(size_t *free, size_t *total) { *free = *total = (size_t)8 << 30; return 0; }
int cudaMalloc(void **p, size_t size) { *p = calloc(1, size); return 0; }
int cudaHostAlloc(void **p, size_t size, unsigned flags) { *p = calloc(1, size); return 0; }
int cudaFree(void *p) { free(p); return 0; }
int cudaFreeHost(void *p) { free(p); return 0; }
int cudaMemcpy(void *to, const void *from, size_t size, int kind) { memmove(to, from, size); return 0; }
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *s) { memmove(to, from, size); return 0; }
int cudaMemset(void *p, int value, size_t size) { memset(p, value, size); return 0; }
int cudaMemsetAsync(void *p, int value, size_t size, void *s) { memset(p, value, size); return 0; }
int cudaStreamCreate(void **s) { *s = (void *)16; return 0; }
int cudaStreamCreateWithFlags(void **s, unsigned flags) { *s = (void *)16; return 0; }
int cudaStreamCreateWithPriority(void **s, unsigned flags, int priority) { *s = (void *)16; return 0; }
int cudaEventCreate(void **e) { *e = (void *)16; return 0; }
int cudaEventCreateWithFlags(void **e, unsigned flags) { *e = (void *)16; return 0; }
int cudaEventElapsedTime(float *ms, void *from, void *to) { *ms = 1; return 0; }
const char *cudaGetErrorString(int error) { return "no error"; }
const char *cudaGetErrorName(int error) { return "cudaSuccess"; }
int cudaGetDeviceProperties(char *p, int device) {
    memset(p, 0, 720);
    strcpy(p, "Fake GPU");
    *(size_t *)(p + 288) = (size_t)8 << 30;                  /* memory */
    *(size_t *)(p + 296) = 49152;                            /* shared memory of a block */
    int *sizes = (int *)(p + 320);
    sizes[0] = 1024;                                         /* threads of a block */
    sizes[1] = sizes[2] = 1024; sizes[3] = 64;
    sizes[4] = 2147483647; sizes[5] = sizes[6] = 65535;
    *(int *)(p + 308) = 32;                                  /* warp */
    *(int *)(p + 360) = 8;                                   /* compute capability 8.0 */
    *(int *)(p + 388) = 108;                                 /* multiprocessors */
    return 0;
}
""",
    "libcudnn.so.8": r"""
const char *cudnnGetErrorString(int error) { return "no error"; }
#define FIND(name) int name(void *h, void *a, void *b, void *c, void *d, int want, int *got, int *found) \
    { *got = 1; memset(found, 0, 48); return 0; }
FIND(cudnnGetConvolutionForwardAlgorithm_v7)
FIND(cudnnGetConvolutionBackwardDataAlgorithm_v7)
FIND(cudnnGetConvolutionBackwardFilterAlgorithm_v7)
FIND(cudnnFindConvolutionForwardAlgorithm)
FIND(cudnnFindConvolutionBackwardDataAlgorithm)
FIND(cudnnFindConvolutionBackwardFilterAlgorithm)
#define SIZE(name) int name(void *h, void *a, void *b, void *c, void *d, int algorithm, size_t *size) \
    { *size = 0; return 0; }
SIZE(cudnnGetConvolutionForwardWorkspaceSize)
SIZE(cudnnGetConvolutionBackwardDataWorkspaceSize)
SIZE(cudnnGetConvolutionBackwardFilterWorkspaceSize)
int cudnnGetTensorSizeInBytes(void *d, size_t *size) { *size = 1 << 22; return 0; }
int cudnnGetFilterSizeInBytes(void *d, size_t *size) { *size = 1 << 22; return 0; }
int cudnnGetReductionWorkspaceSize(void *h, void *d, void *a, void *c, size_t *size) { *size = 0; return 0; }
int cudnnGetReductionIndicesSize(void *h, void *d, void *a, void *c, size_t *size) { *size = 0; return 0; }
""",
    "libcuda.so.1": r"""
int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { *version = 12040; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = 1024; return 0; }
""",
}


def why_not() -> str | None:
    """Why the stand-ins cannot be built here, None where they can."""
    missing = [tool for tool in ("gcc", "nm") if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} not found"
    return None if plugin().is_file() else f"MindSpore has no {plugin().name}"


def plugin() -> Path:
    """MindSpore's plugin for CUDA 11.6."""
    spec = find_spec("mindspore")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "lib/plugin/libmindspore_gpu.so.11.6"


def build(folder: Path) -> tuple[Path, Path]:
    """Site-packages with the wheels' libraries; a folder with the driver, and with MindSpore's kernels, all idle."""
    site_packages, system = folder / "site-packages", folder / "system"
    wanted = undefined(plugin())
    for wheel, names in WHEELS.items():
        for name in names:
            prefix = PREFIXES.get(name)
            symbols = [s for s in wanted if prefix and s.startswith(prefix)]
            compile_library(site_packages / "nvidia" / wheel / "lib" / name, symbols)
    driver = {"cuModuleLoadDataEx", "cuModuleGetFunction", "cuModuleUnload", "cuLaunchKernel", "cuStreamSynchronize"}
    compile_library(system / DRIVER, sorted(driver | {"cuGetErrorName"}))
    kernels = plugin().parent / "gpu/libcuda_ops.so.11"
    compile_library(system / kernels.name, sorted(set(wanted) & defined(kernels)))
    return site_packages, system


def compile_library(path: Path, symbols: list[str]) -> None:
    """A library in which every symbol that is not written above is a function that returns 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [".text", "nothing: xor %eax, %eax", "ret"]
    for symbol in symbols:
        # Weak: what is written above takes its place.
        lines += [f".weak {symbol}", f".type {symbol}, @function", f".set {symbol}, nothing"]
    source, assembly = path.with_suffix(".c"), path.with_suffix(".s")
    source.write_text(f"#include <stdlib.h>\n#include <string.h>\n{WRITTEN.get(path.name, '')}\n", encoding="utf-8")
    assembly.write_text("\n".join(lines) + "\n", encoding="utf-8")
    versions = path.with_suffix(".map")
    versions.write_text(f"{path.name} {{ global: *; }};\n", encoding="utf-8")
    command = ["gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{path.name}", f"-Wl,--version-script={versions}"]
    subprocess.run([*command, "-o", str(path), str(source), str(assembly)], check=True, capture_output=True)


def undefined(library: Path) -> list[str]:
    """Symbols a library takes from others, without their versions."""
    return _symbols("--undefined-only", library)


def defined(library: Path) -> set[str]:
    """Symbols a library gives."""
    return set(_symbols("--defined-only", library))


def _symbols(which: str, library: Path) -> list[str]:
    shown = subprocess.run(["nm", "-D", which, str(library)], check=True, capture_output=True, text=True).stdout
    return [line.split()[-1].partition("@")[0] for line in shown.splitlines()]
