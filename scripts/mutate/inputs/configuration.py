"""What is typed, what a run's folder holds for resume= and task=compare, and a study's file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml

from scripts.mutate.changes import change_bytes, change_json, change_text
from scripts.mutate.readers import Case, Maker

VALUES = [
    *("", "null", "true", "-1", "0", "1e400", "nan", "inf", "abc", "[]", "[1,2]", "{}", "{a:1}", "x" * 300, "x" * 5000),
    *("${oc.env:HOME}", "${seed}", "${nothing}", "${", "${.}", "${..}", "${dataset}", "${run_dir}", "${oc.decode:1}"),
    *(
        "'",
        '"',
        "a,b",
        "1,2",
        "range(1,3)",
        "choice(1,2)",
        "1e9",
        "9" * 20,
        "0.5",
        "../../x",
        "/etc/passwd",
        "é",
        "\x00",
    ),
    *("a=b", "=", "[", "]", "(", "???", "int(3)", "float(x)", "{_target_: os.system}", "1.0.0", "0x10", "1_000", " 5"),
    *("5 ", "\n", "-", "--help", "~"),
]
GROUPS = [
    "backbone",
    "transformer",
    "dataset",
    "task",
    "device",
    "experiments",
    "loss",
    "training",
    "optimizer",
    "schedule",
]


def _leaves(section: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def overrides(folder: Path) -> Maker:
    """Overrides as people type them."""
    from vistr.config.compose import load_config, to_dict

    keys = [*_leaves(to_dict(load_config([]))), *GROUPS, "dataset/augmentation"]

    def make(rng: Random) -> Case:
        typed = []
        for _ in range(rng.choice([1, 1, 2])):
            key, how = rng.choice(keys), rng.random()
            if how < 0.1:
                key = change_text(key, rng)
            elif how < 0.15:
                key = rng.choice(["+", "++", "~", "+hydra.", "hydra."]) + key
            text = f"{key}={rng.choice(VALUES)}"
            typed.append(change_text(text, rng) if rng.random() < 0.1 else text)

        def read() -> str:
            load_config(typed)
            return ""

        return Case(repr(typed), {"overrides.json": json.dumps(typed).encode()}, read)

    return make


def resume(folder: Path) -> Maker:
    """A run's folder that resume= names: with its settings, or as older versions left it."""
    from vistr.config.compose import load_config, to_dict
    from vistr.config.resuming import write_settings

    typed = ["experiments=tiny", "num_frames=2", "training.epochs=19", "dataset.root=data", "seed=${num_frames}"]
    settings = {**to_dict(load_config(typed[:-1])), "overrides": typed}
    write_settings(folder, settings)
    new = {"settings.yaml": (folder / "settings.yaml").read_bytes()}
    composed = {**settings, "dataset": {**settings["dataset"], "seed": "${seed}"}}
    hydra = {"hydra": {"runtime": {"cwd": str(folder), "choices": {}}}}
    parts = {"config": composed, "hydra": hydra, "overrides": typed}
    # By way of JSON: YAML would write what stands in two places as a reference.
    plain = {name: json.loads(json.dumps(part)) for name, part in parts.items()}
    old = {f".hydra/{name}.yaml": yaml.safe_dump(part).encode() for name, part in plain.items()}

    def read() -> str:
        config = load_config([f"resume={folder / 'input'}"])
        shown = json.dumps({**to_dict(config), "overrides": [], "resume": "", "dataset": {}, "outputs": ""})
        return "a value of the environment" if f'"{Path.home()}"' in shown else ""

    def make(rng: Random) -> Case:
        sound = rng.choice([old, new])
        name = rng.choice(sorted(sound))
        if rng.random() < 0.6:
            change, changed = change_json(yaml.safe_load(sound[name]), rng)
            data = json.dumps(changed).encode("utf-8", "surrogatepass")  # which is YAML, at any depth
        else:
            change, data = change_bytes(sound[name], rng, head=3000)
        return Case(f"{name}: {change}", {**sound, name: data}, read)

    return make


def _run_files() -> dict[str, str]:
    status = {"state": "finished", "task": "train", "reason": None, "overrides": ["seed=1"], "host": "x", "pid": 1}
    figures = {"figures": {"AP": 0.5, "loss": 1.0}, "seconds": 1.0, "started": 1.0, "ended": 2.0, "process_start": 5}
    rows: list[dict[str, Any]] = [
        {"step": i, "epoch": 1, "kind": kind, "loss": 2 / i, "AP": 0.1 * i, "clips_per_second": 3.0, "memory_gb": 1.0}
        for i in range(1, 6)
        for kind in ("train", "eval")
    ]
    return {
        "status.json": json.dumps({**status, **figures}),
        "metrics.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "metrics.json": json.dumps({"figures": {"AP": 0.5}, "per_category": {}}),
        ".hydra/config.yaml": "seed: 1\ntask: {name: train}\ndataset: {name: shapes, seed: '${seed}'}\n",
        ".hydra/hydra.yaml": "hydra:\n  runtime:\n    choices: {backbone: r50, dataset: shapes}\n",
        ".hydra/overrides.yaml": "- seed=1\n",
    }


def runs(folder: Path) -> Maker:
    """Two run folders that are compared, one of them damaged; resuming drops rows of its metrics."""
    sound = _run_files()
    root = folder / "input"

    def read() -> str:
        from vistr.runs.comparison import compare
        from vistr.runs.comparison_page import page
        from vistr.runs.comparison_tables import csv_table, markdown_table, text_table
        from vistr.runs.runs import find_runs
        from vistr.training.tracking import drop_rows_after

        comparison = compare(find_runs([str(root)]))
        made = [table(comparison) for table in (text_table, markdown_table, csv_table)]
        made.append(page(comparison, "x", None, None))
        drop_rows_after(root / "one/metrics.jsonl", 3)
        return "a value of the environment" if any(str(Path.home()) + "\n" in text for text in made) else ""

    def make(rng: Random) -> Case:
        victim = rng.choice(sorted(sound))
        text = sound[victim]
        if rng.random() < 0.25:
            change, data = change_bytes(text.encode(), rng)
        else:
            rows = (
                [json.loads(line) for line in text.splitlines()] if victim == "metrics.jsonl" else yaml.safe_load(text)
            )
            change, changed = change_json(rows, rng)
            lines = changed if victim == "metrics.jsonl" and isinstance(changed, list) else [changed]
            data = "\n".join(json.dumps(line) for line in lines).encode("utf-8", "surrogatepass")
        files = {f"two/{name}": content.encode() for name, content in sound.items()}
        files |= {f"one/{name}": content.encode() for name, content in sound.items()}
        if rng.random() < 0.4:
            del files["one/status.json"]  # as runs of earlier versions
        return Case(f"{victim}: {change}", files | {f"one/{victim}": data}, read)

    return make


def experiment(folder: Path) -> Maker:
    """A file of conf/experiments, as users write their own."""
    import vistr.config.compose as compose
    from vistr.files import CONF

    shutil.copytree(CONF, folder / "conf")
    shutil.copytree(CONF.parent / "experiments", folder / "conf/experiments")
    sound = (folder / "conf/experiments/tiny.yaml").read_text(encoding="utf-8")
    vars(compose)["CONF"] = folder / "conf"

    def read() -> str:
        shutil.copyfile(folder / "input/mine.yaml", folder / "conf/experiments/mine.yaml")
        compose.load_config(["experiments=mine"])
        return ""

    def make(rng: Random) -> Case:
        if rng.random() < 0.5:
            change, data = change_bytes(sound.encode(), rng)
        else:
            change, changed = change_json(yaml.safe_load(sound), rng)
            data = b"# @package _global_\n" + json.dumps(changed).encode("utf-8", "surrogatepass")
        return Case(change, {"mine.yaml": data}, read)

    return make


READERS = {"overrides": overrides, "resume": resume, "runs": runs, "experiment": experiment}
