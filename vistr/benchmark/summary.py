"""Results of a benchmark for people: a table for the terminal, Markdown, and a figure."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vistr.files import PROGRAM
from vistr.text.fonts import fit_fonts

PARTS = {
    "backbone": "backbone",
    "transformer": "transformer",
    "mask_head": "mask head",
    "sequence_head": "3-D head",
    "rest": "rest",
}
SWEEP_COLUMNS = ("frames", "size", "s a clip", "min to max", "frames/s", "peak GB", "GFLOP", "GFLOP/s")
COLORS = ("#3b6fb6", "#e08a2e", "#4f9d69", "#b2473e", "#7d62a8", "#8a8a8a")


def main_figures(report: dict[str, Any]) -> dict[str, float]:
    """The figures to compare runs by, flat."""
    figures = {
        "frames_per_second": report["network"]["per_second"],
        "frames_per_second_with_loading": report["pipeline"]["per_second"],
        "memory_gb": report["memory_gb"]["network"],
    }
    if report["training"] is not None:
        figures["clips_per_second"] = report["training"]["step"]["per_second"]
        figures["training_memory_gb"] = report["memory_gb"]["training"]
    return figures


def describe(point: dict[str, Any]) -> str:
    """The network and its input in a few words."""
    return (
        f"{point['backbone']}, {point['num_frames']} frames of {point['height']}x{point['width']}, "
        f"{point['num_instances']} slots, {point['weights']} weights"
    )


def rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value of every line of the table."""
    surroundings, gflop, attained = report["environment"], report["gflop"], report["attained"]
    device = f"{surroundings['gpu']}, " if surroundings["gpu"] else ""
    parts = ", ".join(f"{label} {gflop[name]:.4g}" for name, label in PARTS.items())
    shares = attained["share_of_matmul"]
    matmul = report["matmul_gflop_per_second"]
    memory = ", ".join(f"{name} {value:.2f} GB" for name, value in report["memory_gb"].items())
    lines = [
        ("network", describe(report)),
        ("padded to", f"{report['padded_height']}x{report['padded_width']}"),
        (surroundings["device"], f"{device}{surroundings['cpu']}, {surroundings['memory_gb']:.1f} GB"),
        ("cores, threads", f"{surroundings['cores']} cores, OMP_NUM_THREADS {surroundings['threads']}"),
        ("versions", ", ".join(f"{name} {surroundings[name]}" for name in ("python", "mindspore", "numpy"))),
        ("platform", surroundings["platform"]),
        ("matmul 2048^3, float32", f"NumPy {matmul['numpy']:.1f}, MindSpore {matmul['mindspore']:.1f} GFLOP/s"),
        ("network alone", speed(report["network"], "frames")),
        ("with loading, post-processing", speed(report["pipeline"], "frames")),
        ("compilation (first run)", f"{report['network']['first_seconds']:.1f} s"),
    ]
    if (training := report["training"]) is not None:
        split = ", ".join(f"{name} {value:.3g}" for name, value in training["parts"].items())
        lines += [
            (f"training step, {training['num_objects']} objects", speed(training["step"], "clips")),
            ("of which", f"{split} s"),
            ("compilation (first step)", f"{training['step']['first_seconds']:.1f} s"),
        ]
    return [
        *lines,
        ("peak memory", memory),
        ("GFLOP a clip, as the original's", f"{gflop['total']:.4g}: {parts}"),
        (
            "attained by the network alone",
            f"{attained['gflop_per_second']:.1f} GFLOP/s: {shares['numpy']:.0%} of NumPy's matmul, "
            f"{shares['mindspore']:.0%} of MindSpore's",
        ),
    ]


def speed(timing: dict[str, float], unit: str) -> str:
    """Rate, latency and spread of the warm runs."""
    return (
        f"{timing['per_second']:.3g} {unit}/s; {timing['median_seconds']:.3g} s a clip "
        f"({timing['min_seconds']:.3g} to {timing['max_seconds']:.3g}, {timing['repeats']} runs)"
    )


def table(report: dict[str, Any]) -> str:
    """The table for the terminal; the sweep, which comes later, has lines of its own (`sweep_row`)."""
    lines = rows(report)
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def sweep_cells(point: dict[str, Any]) -> list[str]:
    """A point of the sweep, under SWEEP_COLUMNS; fewer cells, the last one the reason, where it failed."""
    cells = [str(point["num_frames"]), f"{point['height']}x{point['width']}"]
    if "error" in point:
        return [*cells, f"not measured: {point['error']}"]
    timing, total = point["network"], point["gflop"]["total"]
    return [
        *cells,
        f"{timing['median_seconds']:.3g}",
        f"{timing['min_seconds']:.3g} to {timing['max_seconds']:.3g}",
        f"{timing['per_second']:.3g}",
        f"{point['memory_gb']['network']:.2f}",
        f"{total:.4g}",
        f"{total / timing['median_seconds']:.1f}",
    ]


def aligned(cells: list[str]) -> str:
    """Cells as a line of the sweep's table on the terminal; a reason, shorter lines' last cell, runs on."""
    widths = (6, 9, 9, 16, 9, 8, 9, 8)
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False))


def sweep_header() -> str:
    """The line above the sweep's."""
    return aligned(list(SWEEP_COLUMNS))


def sweep_row(point: dict[str, Any]) -> str:
    """A point of the sweep as a line for the terminal."""
    return aligned(sweep_cells(point))


def markdown(report: dict[str, Any]) -> str:
    """The same as Markdown, with the sweep and the figure."""
    lines = ["# Benchmark", "", f"`{PROGRAM} {' '.join(report['overrides'])}`", "", "| what | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows(report)]
    if report["sweep"]:
        lines += ["", "The network alone, at other `num_frames` and sizes:", ""]
        lines += [f"| {' | '.join(SWEEP_COLUMNS)} |", "|---" * len(SWEEP_COLUMNS) + "|"]
        for point in report["sweep"]:
            cells = [cell.replace("|", "\\|") for cell in sweep_cells(point)]
            lines.append(f"| {' | '.join([*cells, *[''] * (len(SWEEP_COLUMNS) - len(cells))])} |")
    return "\n".join([*lines, "", "![time and memory](benchmark.png)", ""])


def draw(report: dict[str, Any], path: Path) -> None:
    """Write the figure: where a clip's time goes, and time and memory over the sweep."""
    found = [point for point in report["sweep"] if "error" not in point]
    figure = Figure(figsize=(11, 11 if found else 3.2), dpi=110, layout="constrained")
    figure.suptitle(f"{describe(report)}\n{report['environment']['cpu']}", fontsize=11)
    if not found:
        _draw_clip(figure.add_subplot(), report)
    else:
        grid = figure.add_gridspec(3, 2, height_ratios=(0.7, 1, 1))
        _draw_clip(figure.add_subplot(grid[0, :]), report)
        for row, (key, label) in enumerate((("time", "seconds a clip"), ("memory", "peak memory (GB)")), start=1):
            _draw_lines(figure.add_subplot(grid[row, 0]), found, key, label, against_frames=True)
            _draw_lines(figure.add_subplot(grid[row, 1]), found, key, label, against_frames=False)
    if failed := [f"{p['num_frames']} x {p['height']}x{p['width']}" for p in report["sweep"] if "error" in p]:
        figure.supxlabel(f"not measured: {', '.join(failed)}", fontsize=9)
    fit_fonts(figure)
    figure.savefig(path)


def _draw_clip(axes: Axes, report: dict[str, Any]) -> None:
    """Seconds of one clip: both FPS protocols, and a training step by its parts."""
    names = ["network alone", "with loading,\npost-processing"]
    for row, timing in enumerate((report["network"], report["pipeline"])):
        axes.barh(row, timing["median_seconds"], color=COLORS[0], alpha=0.55)
        axes.text(timing["median_seconds"], row, f" {timing['per_second']:.3g} frames/s", va="center", fontsize=9)
    if (training := report["training"]) is not None:
        names, left = [*names, "training step"], 0.0
        for (part, seconds), color in zip(training["parts"].items(), COLORS, strict=True):
            axes.barh(2, seconds, left=left, color=color, label=part)
            left += seconds
        axes.text(left, 2, f" {training['step']['per_second']:.3g} clips/s", va="center", fontsize=9)
        axes.legend(ncols=len(COLORS), fontsize=9, frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("seconds a clip")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_lines(axes: Axes, points: list[dict[str, Any]], key: str, label: str, *, against_frames: bool) -> None:
    """Time or memory of the network alone: a line a size against num_frames, or a line a num_frames against size."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        size, frames = (point["height"], point["width"]), point["num_frames"]
        value = point["network"]["median_seconds"] if key == "time" else point["memory_gb"]["network"]
        name, x = (f"{size[0]}x{size[1]}", frames) if against_frames else (f"{frames} frames", size[0] * size[1] / 1e3)
        lines.setdefault(name, []).append((x, value))
    for (name, line), color in zip(lines.items(), itertools.cycle(COLORS), strict=False):
        axes.plot(*zip(*sorted(line), strict=True), marker="o", color=color, label=name)
    axes.set_xlabel("num_frames (frames a clip)" if against_frames else "size of a frame (thousand pixels)")
    axes.set_ylabel(label)
    axes.set_xticks(sorted({x for line in lines.values() for x, _ in line}))
    axes.xaxis.set_major_formatter("{x:.3g}")
    axes.margins(y=0.12)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
