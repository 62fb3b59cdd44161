"""Run the check: `python -m scripts.gpu_check [--device cpu] [--size small] [--only operators,golden] [--report FILE]`.

Every section runs in processes of its own, so that a crash, a hang or a missing kernel costs its own lines only. Ends
with status 1 where a line failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scripts.gpu_check.processes import Row, rows_of, shown
from scripts.gpu_check.steps import step_rows
from scripts.gpu_check.training import benchmark_rows, ranks_rows, training_rows
from vistr.runtime import gpu_runtime

GOLDEN = {"paper": ("r50_plain", "r50_padded", "r50_empty", "r101_plain"), "small": ("r50_plain",)}
SECTIONS = ("runtime", "versions", "operators", "optimizer", "golden", "training", "ranks", "steps", "benchmark")
# Relative to the largest value of the array. Half precision has three decimal digits, which sums use up.
OPERATOR_TOLERANCE = {("cpu", "fp32"): 1e-4, ("gpu", "fp32"): 1e-3, ("cpu", "fp16"): 0.05, ("gpu", "fp16"): 0.05}


def main() -> int:
    """Check, report, and say how it went."""
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="cpu checks the check itself")
    parser.add_argument("--size", choices=("paper", "small"), default=None, help="default: paper on a GPU, else small")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections to run, with commas between them")
    parser.add_argument("--report", type=Path, default=Path("outputs/gpu_check.md"), help="where the Markdown goes")
    options = parser.parse_args()
    size = options.size or ("paper" if options.device == "gpu" else "small")
    report: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        for section in SECTIONS:
            if section not in options.only.split(","):
                continue
            print(f"\n{section}", flush=True)
            report[section] = []
            started = time.monotonic()
            for row in section_rows(section, options.device, size, Path(scratch)):
                report[section].append(row)
                print(f"  {'pass' if row.passed else 'FAIL'}  {row.name}: {row.figure}", flush=True)
                # After every line: what was found survives whatever comes next.
                write(options.report, report, options.device, size)
            print(f"  {time.monotonic() - started:.0f} s", flush=True)
    failed = sum(not row.passed for rows in report.values() for row in rows)
    print(f"\n{failed or 'No'} line{'s' if failed != 1 else ''} failed. Report: {shown(options.report.absolute())}")
    return 1 if failed else 0


def section_rows(section: str, device: str, size: str, folder: Path) -> Iterator[Row]:
    """The lines of one section, as they come."""
    if section == "runtime":
        lacking = gpu_runtime.missing()
        name = "driver, plugin and CUDA 11 libraries"
        if device == "cpu":
            yield Row(name, True, f"not needed on a CPU ({lacking or 'but found'})")
        else:
            yield Row(name, lacking is None, lacking or "found")
    elif section == "versions":
        rows, why = rows_of(["versions", device], minutes=20)
        yield from rows
        if why:
            yield Row("the device computes", False, why)
    elif section == "operators":
        for precision in ("fp32", "fp16"):
            yield from operator_rows(device, precision, folder / precision)
    elif section == "golden":
        for case in GOLDEN[size]:
            rows, why = rows_of(["golden", device, case], minutes=30)
            yield from rows
            if why:
                yield Row(case, False, why)
    elif section == "optimizer":
        for part in (["optimizer", device], ["convolution", device, size]):
            rows, why = rows_of(part, minutes=20)
            yield from rows
            if why:
                yield Row(part[0], False, why)
    elif section == "training":
        yield from training_rows(device, folder)
    elif section == "ranks":
        yield from ranks_rows(device, folder)
    elif section == "steps":
        for precision in ("fp32", "fp16"):
            yield from step_rows(device, size, precision, folder)
    else:
        for precision in ("fp32", "fp16"):
            yield from benchmark_rows(device, size, precision, folder)


def operator_rows(device: str, precision: str, folder: Path) -> Iterator[Row]:
    """Every operator on the device, with its kernels, against the CPU's float32 with those that are tested there."""
    names = json.loads(rows_of(["names", "cpu", precision], minutes=5)[0][0].figure)
    truth, other = folder / "truth", folder / "device"
    for place, which, kernels, how in ((truth, "cpu", "gather", "fp32"), (other, device, "native", precision)):
        place.mkdir(parents=True)
        for row in all_operators(names, which, kernels, how, place):
            if not row.passed:
                yield Row(f"{row.name} ({which}, {kernels} kernels, {how})", False, row.figure)
    limit = OPERATOR_TOLERANCE[device, precision]
    for name in names:
        files = [place / f"{name}.npz" for place in (truth, other)]
        if not all(file.exists() for file in files):
            continue
        expected, found = (dict(np.load(file)) for file in files)
        worst = {
            f"{mode} {'forward' if i == 0 else 'backward'}": max(
                relative(found[key], expected[key.replace("compiled", "eager")])
                for key in found
                if key.startswith(mode) and key.endswith("_0") == (i == 0)
            )
            for mode in ("eager", "compiled")
            for i in (0, 1)
        }
        figure = ", ".join(f"{part} {error:.1g}" for part, error in worst.items())
        yield Row(
            f"{name}, {precision}", all(error <= limit for error in worst.values()), f"{figure} (limit {limit:g})"
        )


def all_operators(names: list[str], device: str, kernels: str, precision: str, folder: Path) -> list[Row]:
    """Rows of all cases: behind one that ends its process, the next process goes on."""
    rows: list[Row] = []
    left = list(names)
    while left:
        found, why = rows_of(["operators", device, kernels, precision, json.dumps(left), str(folder)], minutes=30)
        rows += found
        left = left[len(found) :]
        if why and left:
            rows.append(Row(left.pop(0), False, why))
    return rows


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest value; infinite where one is no number."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-6))


def write(file: Path, report: dict[str, list[Row]], device: str, size: str) -> None:
    """The report as Markdown."""
    rows = [row for some in report.values() for row in some]
    failed = sum(not row.passed for row in rows)
    lines = [
        f"# What `gpu_check --device {device}` found",
        "",
        f"{len(rows) - failed} of {len(rows)} lines passed ({size} size), {time.strftime('%Y-%m-%d')}. Errors of",
        "operators are relative to the largest value; backward is the worst of all inputs.",
    ]
    for section, some in report.items():
        lines += ["", f"## {section.capitalize()}", "", "| | what | figure |", "|---|---|---|"]
        lines += [f"| {'pass' if r.passed else '**fail**'} | {r.name} | {r.figure.replace('|', '/')} |" for r in some]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
