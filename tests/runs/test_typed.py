"""A run's settings in TensorBoard."""

from __future__ import annotations

from vistr.runs.typed import typed_values


def test_typed_numbers_are_numbers_and_where_a_run_lies_is_left_out() -> None:
    typed = [
        "backbone=r50",
        "optimizer.learning_rate=1e-4",
        "num_frames=18",
        "+backbone.dilation=true",
        "schedule.drop_epoch=null",
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
        "schedule.drop_epoch": "null",
        "dataset.augmentation": "none",
        "init": "my weights.safetensors",
    }
