"""Weights of another network are refused by the setting that differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from vistr.config.compose import from_dict
from vistr.errors import UserError
from vistr.weights.architecture import architecture
from vistr.weights.fitting import require_fitting
from vistr.weights.kinds import BODY, Kind, Source

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    """A whole VisTR's weights by the original's names."""
    return tiny.state_dict(tiny.build())


@pytest.fixture(scope="module")
def settings(arrays: Arrays) -> dict[str, Any]:
    """The configuration that they fit."""
    return architecture(arrays, Path("x"), num_instances=1, dilation=False)


def source(arrays: Arrays, kind: Kind = "a VisTR") -> Source:
    return Source(Path("weights.pth"), "safetensors", kind, arrays, {})


def changed(settings: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    section, _, name = key.rpartition(".")
    return settings | ({section: settings[section] | {name: value}} if section else {name: value})


def test_weights_fit_the_network_they_are_of(arrays: Arrays, settings: dict[str, Any]) -> None:
    config = from_dict(settings)
    kinds: tuple[Kind, ...] = ("a VisTR", "a vistr checkpoint", "a DETR", "a ResNet")
    for kind in kinds:
        require_fitting(source(arrays, kind), config)


@pytest.mark.parametrize(
    ("key", "value", "kinds"),
    [
        ("backbone.name", "r101", ("a VisTR", "a DETR", "a ResNet")),
        ("transformer.hidden_dim", 192, ("a VisTR",)),
        ("transformer.feedforward_dim", 77, ("a VisTR", "a DETR")),
        ("transformer.num_encoder_layers", 9, ("a VisTR", "a DETR")),
        ("transformer.num_decoder_layers", 9, ("a VisTR", "a DETR")),
        ("transformer.num_heads", 3, ("a VisTR", "a DETR")),
        ("transformer.pre_norm", True, ("a VisTR", "a DETR")),
        ("sequence_head", "dense", ("a VisTR",)),
    ],
)
def test_what_differs_is_named_with_both_values(
    key: str, value: Any, kinds: tuple[Kind, ...], arrays: Arrays, settings: dict[str, Any]
) -> None:
    config = from_dict(changed(settings, key, value))
    every: tuple[Kind, ...] = ("a VisTR", "a DETR", "a ResNet")
    for kind in every:
        if kind not in kinds:
            require_fitting(source(arrays, kind), config)
            continue
        said = rf"has {key}=\S+, but the configured network {value}: set the same"
        with pytest.raises(UserError, match=said) as caught:
            require_fitting(source(arrays, kind), config)
        assert "weights.pth" in str(caught.value)
        assert "encoder.layers" not in str(caught.value)


@pytest.mark.parametrize(("key", "value"), [("num_frames", 7), ("num_instances", 5)])
def test_other_frames_and_slots_are_no_hindrance(
    key: str, value: int, arrays: Arrays, settings: dict[str, Any]
) -> None:
    require_fitting(source(arrays), from_dict(changed(settings, key, value)))


def test_a_detr_of_another_width_gives_its_backbone(arrays: Arrays, settings: dict[str, Any]) -> None:
    config = from_dict(changed(changed(settings, "transformer.hidden_dim", 192), "transformer.feedforward_dim", 7))
    require_fitting(source(arrays, "a DETR"), config)


def test_an_incomplete_file_is_left_to_the_loading_which_names_what_is_lost(
    arrays: Arrays, settings: dict[str, Any]
) -> None:
    for lost in (f"{BODY}conv1.weight", "vistr.input_proj.weight", "mask_head.lay1.weight"):
        require_fitting(source({n: a for n, a in arrays.items() if n != lost}), from_dict(settings))
