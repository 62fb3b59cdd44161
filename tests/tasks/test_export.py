"""Exported files: the same outputs without this package, and no file where they are not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vistr import load_config
from vistr.config.compose import to_dict
from vistr.data.videos import Category
from vistr.errors import UserError
from vistr.files import ROOT
from vistr.models.build import build_model
from vistr.tasks import export
from vistr.weights.checkpoint import Metadata, save_checkpoint

LAYERS = ["transformer.num_encoder_layers=1", "transformer.num_decoder_layers=1"]
MODEL = ["backbone=r10", "transformer=small", *LAYERS, "num_frames=3", "num_instances=2", "device=cpu"]
NAMES = ("cat", "dog")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("run") / "trained.safetensors", MODEL)


def stored(path: Path, overrides: list[str]) -> Path:
    """The checkpoint of a network, written to `path`."""
    config = load_config(overrides)
    categories = [Category(i, name) for i, name in enumerate(NAMES, 1)]
    save_checkpoint(path, build_model(config, len(NAMES)), Metadata(to_dict(config), categories), {})
    return path


def run(checkpoint: Path, output: Path, *more: str) -> dict[str, float]:
    size = ["task.height=40", "task.width=64"]
    config = load_config(["task=export", f"checkpoint={checkpoint}", f"output={output}", *size, "device=cpu", *more])
    config.run_dir = str(output.parent)
    return export.run(config)


@pytest.mark.slow
def test_a_mindir_gives_the_networks_outputs_and_runs_without_this_package(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "deploy" / "vistr.mindir"
    differences = run(checkpoint, output)
    assert differences.keys() == {"logits", "boxes", "masks"}
    assert max(differences.values()) <= export.TOLERANCE
    about = json.loads(Path(f"{output}.json").read_text())
    assert (about["num_frames"], about["height"], about["width"], about["categories"]) == (3, 40, 64, list(NAMES))
    assert sorted(path.name for path in output.parent.iterdir()) == ["vistr.mindir", "vistr.mindir.json"]
    pixels = np.random.default_rng(0).integers(0, 255, (2, 48, 80, 3), np.uint8)
    (tmp_path / "frames").mkdir()
    for i, frame in enumerate(pixels):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{i}.jpg")
    command = [sys.executable, "-I", str(ROOT / "examples/run_exported.py"), str(output), str(tmp_path / "frames")]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert len(lines) == 2
    assert all(any(name in line for name in NAMES) for line in lines)


@pytest.mark.slow
def test_an_onnx_file_of_fewer_frames_gives_them_too(checkpoint: Path, tmp_path: Path) -> None:
    differences = run(checkpoint, tmp_path / "vistr.onnx", "format=onnx", "num_frames=2")
    assert max(differences.values()) <= export.TOLERANCE
    assert json.loads((tmp_path / "vistr.onnx.json").read_text())["num_frames"] == 2


@pytest.mark.slow
def test_a_deformable_encoder_that_reads_other_frames_exports_to_onnx(tmp_path: Path) -> None:
    sizes = ["transformer.hidden_dim=96", "transformer.num_heads=4", "transformer.feedforward_dim=64"]
    points = ["transformer=deformable", "transformer.temporal_points=1"]
    other = [override for override in MODEL if override != "transformer=small"]
    trained = stored(tmp_path / "trained.safetensors", [*other, *points, *sizes])
    assert max(run(trained, tmp_path / "vistr.onnx", "format=onnx").values()) <= export.TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("form", ["mindir", "onnx"])
def test_windows_of_attention_export_too(tmp_path: Path, form: str) -> None:
    swin = ["backbone=swin_t", "backbone.embed_dim=32", "backbone.depths=[1,2,1,1]", "backbone.window=4"]
    config, checkpoint = load_config([*MODEL[1:], *swin]), tmp_path / "swin.safetensors"
    categories = [Category(i, name) for i, name in enumerate(NAMES, 1)]
    save_checkpoint(checkpoint, build_model(config, len(NAMES)), Metadata(to_dict(config), categories), {})
    differences = run(checkpoint, tmp_path / f"vistr.{form}", f"format={form}")
    assert max(differences.values()) <= export.TOLERANCE


@pytest.mark.slow
def test_a_file_that_gives_other_outputs_is_not_kept(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(*_: Any) -> dict[str, np.ndarray]:
        return {"logits": np.zeros((1, 6, 4)), "boxes": np.zeros((1, 6, 4)), "masks": np.zeros((1, 6, 10, 16))}

    def written(*arguments: Any) -> Path:
        (arguments[4] / "vistr.mindir").write_text("a graph")
        return Path(arguments[4] / "vistr.mindir")

    monkeypatch.setattr(export, "_write", written)
    monkeypatch.setattr(export, "_run_mindir", elsewhere)
    with pytest.raises(UserError, match="does not give the network's outputs"):
        run(checkpoint, tmp_path / "vistr.mindir")
    assert list(tmp_path.iterdir()) == []


def test_masks_are_held_by_their_size_and_nothing_else_is() -> None:
    large = {"logits": np.full(3, 50.0), "masks": np.full(3, 50.0)}
    off = {name: value + 2e-3 for name, value in large.items()}
    assert export._hold({"masks": large["masks"]}, off)["masks"] == pytest.approx(4e-5)
    with pytest.raises(UserError, match="logits"):
        export._hold(large, off)
    with pytest.raises(UserError, match="nan"):
        export._hold({"masks": large["masks"]}, {"masks": np.full(3, np.nan)})
