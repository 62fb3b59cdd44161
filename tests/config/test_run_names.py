"""Folder names say what was run, safely and briefly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vistr.config.run_names import MAX_LENGTH, job_name, run_name
from vistr.tasks.settings import TASKS


def name(*overrides: str, task: str = "train", **paths: str) -> str:
    return run_name(replace(TASKS[task], **paths), "shapes", "r101", 36, overrides)


def test_a_run_is_named_after_its_data_model_and_overrides() -> None:
    assert name("backbone=r101", "optimizer.learning_rate=0.0002") == "shapes_r101_36f_learning_rate=0.0002"


def test_paths_and_what_the_name_says_already_are_dropped() -> None:
    typed = (
        "num_frames=36",
        "dataset=shapes",
        "outputs=/tmp/x",
        "dataset.root='/a=b'",
        "hydra.verbose=true",
        "seed=3",
    )
    assert name(*typed) == "shapes_r101_36f_seed=3"


def test_an_experiment_is_named_without_its_key() -> None:
    assert name("experiments=quickstart", "seed=1") == "shapes_r101_36f_quickstart_seed=1"


def test_values_become_slugs_without_separators() -> None:
    shown = name("dataset.augmentation.resize_short=[480,512]", "dataset/augmentation=none", "+x='a/b c'")
    assert shown == "shapes_r101_36f_resize_short=480-512_augmentation=none_x=a-b-c"


def test_long_names_are_cut_and_still_differ() -> None:
    many = [f"loss.weight_{letter}=1.0" for letter in "abcdefghijklmnop"]
    first, second = name(*many), name(*many, "seed=1")
    assert len(first) == len(second) == MAX_LENGTH
    assert first != second


def test_viewing_is_named_after_the_results() -> None:
    assert name(task="view", results="sub/our results.json") == "our-results"


def test_scoring_is_named_after_the_results_and_evaluation_after_the_trained_run() -> None:
    assert name(task="score", results="sub/our results.json") == "our-results"
    checkpoint = "outputs/train/2026-11-22_21-30-05_shapes_r18_6f_seed=1/checkpoints/best.ckpt"
    assert name(task="evaluate", checkpoint=checkpoint) == "shapes_r18_6f_seed=1_best"
    assert (
        name(task="evaluate", checkpoint="outputs/train/2026-11-22_21-30-05_shapes_r18_6f_x=0.1")
        == "shapes_r18_6f_x=0.1"
    )
    assert name(task="evaluate", checkpoint="weights/vistr_r50.ckpt") == "vistr_r50"


def test_a_comparison_is_named_after_what_it_compares() -> None:
    assert (
        name(task="compare", runs="/here/outputs/sweeps/num_frames=2-4_1a2b3c/*,/elsewhere") == "num_frames=2-4_1a2b3c"
    )


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("clips/cat.mp4", "cat"),
        ("clips/*.mp4", "clips"),
        ("clips/*", "clips"),
        ("clips/", "clips"),
        ("clips/**/v*.mp4", "v"),
        ("clips/*/*.jpg", "clips"),
        ("clips/汽车.mp4", "clips"),
        ("clips/.", "clips"),
        ("clips/run_0.1", "run_0.1"),
    ],
)
def test_a_search_is_named_after_its_input_whatever_pattern_or_letters_that_has(given: str, shown: str) -> None:
    assert name(task="infer", checkpoint="weights/r50.safetensors", input=given) == f"{shown}_r50"
    assert name(task="convert", input=given) == shown


def test_a_search_here_is_named_after_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "street").mkdir()
    monkeypatch.chdir(tmp_path / "street")
    for given in (".", "*", "*.mp4", "./*"):
        assert name(task="infer", checkpoint="r50.pth", input=given) == "street_r50"


def test_a_sweeps_job_is_named_after_what_was_swept() -> None:
    assert job_name(["backbone=r50", "num_frames=4", "seed=3"], ["seed"]) == "backbone=r50_num_frames=4"
    assert job_name(["seed=3"], ["seed"]) == ""
