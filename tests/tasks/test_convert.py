"""Other people's weights in, ours out, and parts of networks to start from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests import tiny
from tests.weights.test_initial import DETR_PARTS, detr, resnet, taken
from vistr.config import Config
from vistr.errors import UserError
from vistr.models.vistr import VisTR
from vistr.tasks import average, convert
from vistr.tasks import inspect as inspecting
from vistr.tasks.settings import Average, Convert, Inspect
from vistr.weights.checkpoint import load_weights, read_checkpoint
from vistr.weights.initial import load_initial


@pytest.fixture(scope="module")
def trained() -> VisTR:
    """A network with the original's ten slots a frame, as its files are taken to have."""
    return tiny.model(num_instances=10)


def convert_file(source: Path, output: Path, **changes: Any) -> Path:
    config = tiny.config(num_instances=10, task=Convert(input=str(source), output=str(output), **changes))
    assert convert.run(config) == {}
    return output


def test_there_and_back_is_exact(trained: VisTR, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    original = tiny.state_dict(trained)
    save_file(original | {"vistr.backbone.0.body.bn1.num_batches_tracked": np.array(3)}, tmp_path / "a.safetensors")
    with caplog.at_level(logging.INFO):
        checkpoint = convert_file(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
        back = load_file(convert_file(checkpoint, tmp_path / "c.safetensors"))
    assert "tiny, 2 frames of 10 slots, 4 categories" in caplog.text
    assert back.keys() == original.keys()
    for name, value in back.items():
        np.testing.assert_array_equal(value, original[name], err_msg=name, strict=True)
    ours = tiny.build(num_instances=10)
    load_weights(ours, read_checkpoint(checkpoint))
    assert taken(ours, original) == set(original)


def test_an_incomplete_network_is_named_and_nothing_is_written(trained: VisTR, tmp_path: Path) -> None:
    arrays = tiny.state_dict(trained)
    del arrays["vistr.transformer.decoder.layers.1.norm3.bias"]
    save_file(arrays, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=r"detector\.transformer\.decoder\.layers\.1\.norm3\.bias differ"):
        convert_file(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize("part", ["DETR", "ResNet"])
def test_a_part_becomes_what_of_it_fits_and_can_be_started_from(
    part: str, trained: VisTR, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = tiny.state_dict(trained)
    save_file(detr(arrays) if part == "DETR" else resnet(arrays), tmp_path / "part.safetensors")
    with caplog.at_level(logging.INFO):
        output = convert_file(tmp_path / "part.safetensors", tmp_path / "new.safetensors")
    fitting = {n for n in arrays if n.startswith(DETR_PARTS if part == "DETR" else DETR_PARTS[0])}
    assert load_file(output).keys() == fitting
    if part == "DETR":
        assert "left out, 3: vistr.class_embed.bias" in caplog.text
    network = tiny.build(num_instances=10)
    load_initial(network, output)
    assert taken(network, arrays) >= fitting
    with pytest.raises(UserError, match=f"is a {part}: most of a checkpoint would be random"):
        convert_file(tmp_path / "part.safetensors", tmp_path / "whole.safetensors", format="checkpoint")


def test_inspecting_says_what_there_is(trained: VisTR, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_file(tiny.state_dict(trained), tmp_path / "a.safetensors")
    checkpoint = convert_file(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    save_file(resnet(tiny.state_dict(trained)), tmp_path / "resnet.safetensors")
    with caplog.at_level(logging.INFO):
        for path in (checkpoint, tmp_path / "resnet.safetensors"):
            inspecting.run(Config(task=Inspect(checkpoint=str(path))))
    for sentence in (
        "a vistr checkpoint, safetensors",
        "1 + 2 layers, width 96, 2 heads, feed-forward 32",
        "2 of 10 slots",
        "4: class 1, class 2, class 3, class 4",
        "a.safetensors, a VisTR (safetensors)",
        "num_frames: 2",
        "a ResNet, safetensors",
        "init= starts a training from it",
    ):
        assert sentence in caplog.text


def test_an_average_is_the_mean_and_describes_itself(trained: VisTR, tmp_path: Path) -> None:
    arrays = tiny.state_dict(trained)
    (tmp_path / "checkpoints").mkdir()
    for epoch in (1, 2):
        save_file({name: value * epoch for name, value in arrays.items()}, tmp_path / "a.safetensors")
        convert_file(tmp_path / "a.safetensors", tmp_path / "checkpoints" / f"epoch_00{epoch}.safetensors")
    for name, value in (("run", str(tmp_path)), ("pattern", str(tmp_path / "checkpoints" / "epoch_*"))):
        average.run(Config(task=Average(input=value, output=str(tmp_path / f"{name}.safetensors"))))
        mean = read_checkpoint(tmp_path / f"{name}.safetensors")
        assert mean.metadata.origin == "average of epoch_001.safetensors, epoch_002.safetensors"
        network = tiny.build(num_instances=10)
        load_weights(network, mean)
        for parameter, one in zip(network.get_parameters(), trained.get_parameters(), strict=True):
            np.testing.assert_allclose(parameter.asnumpy(), 1.5 * one.asnumpy(), rtol=1e-6, err_msg=parameter.name)


def test_what_cannot_be_averaged_is_named(trained: VisTR, tmp_path: Path) -> None:
    for name, network in (("a", trained), ("b", tiny.build(num_instances=10, num_decoder_layers=1))):
        save_file(tiny.state_dict(network), tmp_path / f"{name}.safetensors")
    config = Config(task=Average(input=str(tmp_path / "*.safetensors"), output=str(tmp_path / "mean")))
    with pytest.raises(UserError, match=r"b\.safetensors is another network than the ones before it: .*layers\.1"):
        average.run(config)
    config = Config(task=Average(input=str(tmp_path / "a*"), output=str(tmp_path / "mean")))
    with pytest.raises(UserError, match=r"matches only .*a\.safetensors: averaging needs two"):
        average.run(config)
