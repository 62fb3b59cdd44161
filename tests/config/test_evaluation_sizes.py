"""At which size videos are evaluated: what is typed, or the size of training, or the original's."""

from __future__ import annotations

import pytest

from vistr.config.adopting import adopt_checkpoint
from vistr.config.compose import load_config, to_dict
from vistr.config.evaluation_sizes import evaluation_size, original_training_size
from vistr.config.schema import Config
from vistr.inference.loading import clip_settings


def sides(config: Config) -> tuple[int, int | None]:
    settings = clip_settings(config)
    return settings.short_side, settings.long_side


@pytest.mark.parametrize("backbone", ["r50", "r101", "r18"])
@pytest.mark.parametrize("dataset", ["ytvis2019", "ytvis2021", "ovis", "custom"])
def test_every_backbone_is_evaluated_as_the_originals_inference_does(backbone: str, dataset: str) -> None:
    config = load_config([f"backbone={backbone}", f"dataset={dataset}"])
    assert (config.dataset.short_side, config.dataset.long_side) == original_training_size(backbone)
    assert sides(config) == (300, None)


@pytest.mark.parametrize(
    ("typed", "expected", "rule"),
    [
        (["dataset=custom", "dataset.short_side=144", "dataset.long_side=256"], (144, 256), "the size of training"),
        (["dataset=custom", "backbone.short_side=200"], (200, 540), "the size of training"),
        (["dataset.height=64", "dataset.width=96"], (64, 96), "the size of generated videos"),
        (["dataset=ovis", "dataset.eval_short_side=360"], (360, None), "dataset.eval_short_side="),
        (["dataset=ovis", "dataset.eval_long_side=700"], (300, 700), "the original's inference"),
        (["dataset.eval_short_side=64", "dataset.eval_long_side=90"], (64, 90), "dataset.eval_short_side="),
    ],
)
def test_other_sizes(typed: list[str], expected: tuple[int, int | None], rule: str) -> None:
    config = load_config(typed)
    assert sides(config) == expected
    assert evaluation_size(config).rule == rule


def test_a_checkpoint_keeps_the_size_it_was_trained_at_on_other_data(tmp_path: object) -> None:
    other = ["dataset=ovis", f"dataset.root={tmp_path}", "dataset.split=valid"]
    for typed, expected in (
        (["dataset=custom", "dataset.short_side=144", "dataset.long_side=256"], (144, 256)),
        (["dataset.height=64", "dataset.width=96"], (64, 96)),
        (["dataset=ytvis2019", "backbone=r101"], (300, None)),
    ):
        saved = to_dict(load_config(typed))
        overrides = ["task=infer", f"checkpoint={tmp_path}", f"input={tmp_path}", *other]
        assert sides(adopt_checkpoint(load_config(overrides), saved, overrides)) == expected
        overrides.append("dataset.eval_short_side=240")
        assert sides(adopt_checkpoint(load_config(overrides), saved, overrides)) == (240, None)
