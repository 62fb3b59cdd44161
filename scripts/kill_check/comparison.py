"""What differs between two runs that should be the same, but for times, memory and folders."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of every resume
MEASURED = re.compile(r"seconds|clips_per_second|frames_per_second|memory|compiled_graphs")


def differences(reference: Path, folder: Path) -> list[str]:
    """What differs, a line each; empty where the two are equal to the last bit."""
    found = compare_rows(rows(reference), rows(folder))
    if scalars(reference) != scalars(folder):
        found.append("TensorBoard: other scalars")
    ours, theirs = (files(one) for one in (reference, folder))
    found += [f"{name}: missing or too many" for name in sorted(set(ours) ^ set(theirs))]
    for name in sorted(set(ours) & set(theirs)):
        if name.endswith(".safetensors"):
            found += [f"{name}: {what}" for what in compare_checkpoints(ours[name], theirs[name])]
        elif ours[name].read_bytes() != theirs[name].read_bytes():
            found.append(f"{name}: other contents")
    found += [f"{path.relative_to(folder)}: left over" for path in folder.rglob(".*") if path.name != ".hydra"]
    state = json.loads((folder / "status.json").read_text(encoding="utf-8"))["state"]
    return found if state == "finished" else [*found, f"status.json says {state}"]


def files(folder: Path) -> dict[str, Path]:
    """The checkpoints and results of a run by name; results.zip holds times."""
    kinds = ("checkpoints/*", "results/*", "ema/results/*", "metrics.json", "ema/metrics.json")
    paths = (path for kind in kinds for path in folder.glob(kind) if path.suffix != ".zip")
    return {str(path.relative_to(folder)): path for path in paths if not path.name.startswith(".")}


def rows(folder: Path) -> list[dict[str, Any]]:
    """What was recorded, line by line, without what was measured."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [computed(json.loads(line)) for line in lines]


def computed(values: dict[str, Any]) -> dict[str, Any]:
    """The entries that are the same whatever the machine was busy with."""
    return {name: value for name, value in values.items() if not MEASURED.search(name)}


def compare_rows(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    """What differs between two lists of rows."""
    places, others = ([(row["step"], row["kind"]) for row in one] for one in (ours, theirs))
    if places != others:
        return [f"metrics.jsonl: rows {others}, not {places}"]
    pairs = zip(ours, theirs, strict=True)
    return [f"metrics.jsonl: step {a['step']} {a['kind']}: {b}, not {a}" for a, b in pairs if a != b]


def scalars(folder: Path) -> dict[str, list[tuple[int, str]]]:
    """What TensorBoard shows: (step, value) by tag; values as text, since nan differs from itself."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not MEASURED.search(tag)]
    return {tag: [(event.step, str(event.value)) for event in events.Scalars(tag)] for tag in tags}


def compare_checkpoints(ours: Path, theirs: Path) -> list[str]:
    """What differs between two checkpoints: arrays, training state, figures, categories."""
    with safe_open(ours, "numpy") as one, safe_open(theirs, "numpy") as other:
        names = sorted({*one.keys(), *other.keys()})
        both = {*one.keys()} & {*other.keys()}
        differ = [n for n in names if n not in both or one.get_tensor(n).tobytes() != other.get_tensor(n).tobytes()]
        a, b = (json.loads(file.metadata()["vistr"]) for file in (one, other))
    found = [f"{len(differ)} arrays differ, {differ[:3]}"] if differ else []
    for content in (a, b):
        content["metrics"] = computed(content["metrics"])
    return found + [f"{key} {b[key]}, not {a[key]}" for key in ("state", "metrics", "categories") if a[key] != b[key]]
