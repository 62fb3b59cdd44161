"""Weights of the dense encoder start the deformable one and the other way round; files tell which they hold."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from vistr.config.compose import from_dict, to_dict
from vistr.data.videos import Category
from vistr.errors import UserError
from vistr.models.settings import Deformable, Transformer
from vistr.models.vistr import VisTR
from vistr.weights.architecture import architecture
from vistr.weights.checkpoint import Metadata, network_of, read_checkpoint, save_checkpoint
from vistr.weights.fitting import require_fitting
from vistr.weights.initial import load_initial, read_initial

DENSE: dict[str, Any] = {"kind": Transformer}
SPATIAL: dict[str, Any] = {"kind": Deformable, "num_points": 3}
TEMPORAL: dict[str, Any] = {**SPATIAL, "temporal_points": 1}
ATTENTION = "detector.transformer.encoder.layers.0.self_attn."
CATEGORIES = [Category(i + 1, f"category {i}") for i in range(tiny.NUM_CATEGORIES)]


def stored(path: Path, changes: dict[str, Any]) -> VisTR:
    """A network whose checkpoint lies at `path`."""
    network = tiny.model(**changes)
    save_checkpoint(path, network, Metadata(to_dict(tiny.config(**changes)), CATEGORIES), {})
    return network


def arrays(network: VisTR) -> dict[str, np.ndarray]:
    return {p.name: p.asnumpy().copy() for p in network.get_parameters()}


@pytest.mark.parametrize(
    ("theirs", "ours", "of_attention"),
    [(DENSE, SPATIAL, ""), (SPATIAL, DENSE, ""), (SPATIAL, TEMPORAL, "temporal_"), (SPATIAL, SPATIAL, "-")],
    ids=["dense to deformable", "deformable to dense", "spatial to temporal", "the same"],
)
def test_what_fits_is_taken_and_the_rest_of_the_encoders_attention_is_new(
    theirs: dict[str, Any], ours: dict[str, Any], of_attention: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trained.safetensors"
    trained, network = arrays(stored(path, theirs)), tiny.build(**ours)
    before, source = arrays(network), read_initial(path)
    require_fitting(source, tiny.config(**ours))
    with caplog.at_level(logging.INFO):
        load_initial(network, source)
    for name, value in arrays(network).items():
        is_new = name.startswith(ATTENTION + of_attention)
        np.testing.assert_array_equal(value, (before if is_new else trained)[name], err_msg=name)
    new = [line for line in caplog.messages if "new:" in line]
    assert ["vistr.transformer.encoder.layers.0." in line for line in new] == [True] * (of_attention != "-")
    assert ("starts anew" in caplog.text) is (theirs["kind"] is not ours["kind"])


def test_other_points_are_named(tmp_path: Path) -> None:
    path = tmp_path / "trained.safetensors"
    stored(path, SPATIAL)
    with pytest.raises(UserError, match=r"has transformer\.num_points=3, but the configured network 5: set the same"):
        require_fitting(read_initial(path), tiny.config(**{**SPATIAL, "num_points": 5}))


def test_a_checkpoint_brings_its_encoder(tmp_path: Path) -> None:
    path = tmp_path / "trained.safetensors"
    trained = arrays(stored(path, TEMPORAL))
    checkpoint = read_checkpoint(path)
    config = from_dict(checkpoint.metadata.config)
    assert isinstance(config.transformer, Deformable)
    for name, value in arrays(network_of(checkpoint, config)).items():
        np.testing.assert_array_equal(value, trained[name], err_msg=name)
    too_many = replace(config, transformer=replace(config.transformer, num_points=10**9))
    with pytest.raises(UserError, match=r"another network than one of the transformer\.num_points that it states"):
        network_of(checkpoint, too_many)


def test_shapes_tell_the_encoder_but_not_how_many_other_frames_it_reads() -> None:
    found = architecture(tiny.state_dict(tiny.build(**SPATIAL)), Path("x"), num_instances=3, dilation=False)
    assert (found["transformer"]["name"], found["transformer"]["num_points"]) == ("deformable", 3)
    assert (
        "name"
        not in architecture(tiny.state_dict(tiny.build()), Path("x"), num_instances=3, dilation=False)["transformer"]
    )
    with pytest.raises(UserError, match="reads other frames, and does not say how many: start from it with init="):
        architecture(tiny.state_dict(tiny.build(**TEMPORAL)), Path("x"), num_instances=3, dilation=False)
