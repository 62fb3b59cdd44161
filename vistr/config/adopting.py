"""The configuration of a run that takes its network and dataset from a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vistr.config import overrides as typed
from vistr.config.checks import check
from vistr.config.compose import FREE_KEYS, MODEL_KEYS, compose, to_dataclasses
from vistr.config.run_names import override_key
from vistr.config.schema import Config
from vistr.config.stored import keep_from_writing, plain_config
from vistr.data.readers import READERS, is_generated
from vistr.data.settings import evaluated_part
from vistr.errors import UserError


def adopt_checkpoint(config: Config, saved: dict[str, Any], overrides: Sequence[str]) -> Config:
    """The configuration for evaluating a checkpoint: its model and dataset, then what the user typed.

    A section the user did not touch is the checkpoint's. `dataset.holdout=0.3` changes one key of the
    checkpoint's dataset, `dataset=ytvis2019` replaces it, all but the size of training (unless videos are generated)
    and the wish for videos that no training saw. Raises UserError where the user's model
    contradicts the checkpoint's, or where the result does not pass the checks. A smaller `num_frames` does not:
    a clip may have fewer frames than those the checkpoint was trained with.
    """
    touched = [override_key(override) for override in overrides]
    if "experiments" in touched:
        raise UserError(
            "experiments= sets up a run from scratch, but this one takes its model and dataset from the "
            "checkpoint: leave experiments= out and set single keys."
        )
    for key in ("short_side", "long_side"):
        if f"backbone.{key}" in touched:
            raise UserError(f"backbone.{key}= sizes the clips of a new run: with a checkpoint use dataset.{key}=.")
    composed, before = compose(typed.ready(overrides)), plain_config(saved)
    dotted = {key: OmegaConf.select(composed, key) for key in touched}
    for section in MODEL_KEYS:
        keys = [key for key in touched if key.partition(".")[0] == section]
        _check_model_agrees(composed, before, keys)
        if section != "num_frames" or not keys:
            composed[section] = before[section]
    if "dataset" not in touched:
        composed.dataset = before.dataset
        keep_from_writing(composed, composed, touched)
    else:
        _keep_of_dataset(composed.dataset, before.dataset)
    for key, value in dotted.items():
        if key.startswith("dataset."):
            OmegaConf.update(composed, key, value)
    adopted = to_dataclasses(composed, list(overrides))
    adopted.overrides, adopted.run_dir = config.overrides, config.run_dir
    check(adopted, touched)
    return adopted


def _keep_of_dataset(dataset: DictConfig, before: DictConfig) -> None:
    """The settings that another dataset for a checkpoint takes over from the one it was trained on."""
    dataset, before = evaluated_part(dataset), evaluated_part(before)
    if not is_generated(dataset.name):
        dataset.short_side, dataset.long_side = before.short_side, before.long_side
    if before.split == "valid":
        # A network that was trained elsewhere: nothing here was held out for it.
        dataset.split = "valid" if "valid" in READERS[dataset.name].splits else "train"


def _check_model_agrees(composed: DictConfig, saved: DictConfig, keys: Sequence[str]) -> None:
    for key in keys:
        section = OmegaConf.select(composed, key)
        leaves = [f"{key}.{name!s}" for name in section] if isinstance(section, DictConfig) else [key]
        for leaf in leaves:
            mine, theirs = OmegaConf.select(composed, leaf), OmegaConf.select(saved, leaf)
            if leaf == "num_frames" and mine < theirs:
                continue
            if leaf not in FREE_KEYS and mine != theirs:
                raise UserError(f"{leaf}={mine} contradicts the checkpoint, which has {leaf}={theirs}.")
