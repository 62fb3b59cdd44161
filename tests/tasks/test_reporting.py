"""What a run tells TensorBoard of itself."""

from __future__ import annotations

from vistr.tasks.reporting import defined, typed_values


def test_typed_numbers_are_numbers_and_where_a_run_lies_is_left_out() -> None:
    typed = [
        "backbone=r50",
        "optimizer.learning_rate=1e-4",
        "num_frames=18",
        "+backbone.dilation=true",
        "optimizer.drop_epoch=null",
        "dataset/augmentation=none",
        "init='my weights.safetensors'",
        "outputs=/tmp/x",
        "resume=/tmp/y",
    ]
    assert typed_values(typed) == {
        "backbone": "r50",
        "optimizer.learning_rate": 1e-4,
        "num_frames": 18,
        "backbone.dilation": True,
        "optimizer.drop_epoch": "null",
        "dataset.augmentation": "none",
        "init": "my weights.safetensors",
    }


def test_undefined_figures_are_no_points_of_a_curve() -> None:
    assert defined({"AP": 0.0, "APl": -1.0}) == {"AP": 0.0}
