"""FLOP counts of the original network, against those published for it or counted layer by layer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vistr.benchmark.flops import NetworkSize, count_gflop

R50 = NetworkSize("r50", num_frames=36, height=300, width=540)
PARTS = ("backbone", "transformer", "mask_head", "sequence_head", "rest")


@pytest.mark.parametrize(
    ("part", "gflop"),
    [("backbone", 974), ("transformer", 558), ("mask_head", 516), ("sequence_head", 114), ("total", 2174)],
)
def test_r50_at_the_papers_size(part: str, gflop: float) -> None:
    assert count_gflop(R50)[part] == pytest.approx(gflop, rel=0.02)


def test_r101_at_its_own_size() -> None:
    size = NetworkSize("r101", num_frames=36, height=280, width=504, num_logits=41)
    assert count_gflop(size)["total"] == pytest.approx(2616, rel=0.02)


@pytest.mark.parametrize(("backbone", "gflop"), [("r18", 3.63), ("r34", 7.33), ("r50", 8.18), ("r101", 15.6)])
def test_backbones_at_the_size_of_classification(backbone: str, gflop: float) -> None:
    size = NetworkSize(backbone, num_frames=1, height=224, width=224)
    assert count_gflop(size)["backbone"] == pytest.approx(gflop, rel=0.02)


@pytest.mark.parametrize("backbone", ["r10", "r18", "r50"])
@pytest.mark.parametrize("dilation", [False, True])
def test_the_total_is_the_sum_of_the_parts(backbone: str, dilation: bool) -> None:
    gflop = count_gflop(replace(R50, backbone=backbone, dilation=dilation))
    assert set(gflop) == {*PARTS, "total"}
    assert gflop["total"] == pytest.approx(sum(gflop[part] for part in PARTS))


def test_dilation_gives_the_transformer_more_tokens_and_masks_the_same_size() -> None:
    plain = NetworkSize("r50", num_frames=2, height=128, width=128)
    small, large = count_gflop(plain), count_gflop(replace(plain, dilation=True))
    assert large["transformer"] > 2.5 * small["transformer"]
    assert large["sequence_head"] == small["sequence_head"]


def test_what_grows_with_the_slots_and_what_does_not() -> None:
    few, many = count_gflop(replace(R50, num_instances=5)), count_gflop(R50)
    assert many["backbone"] == few["backbone"]
    assert many["sequence_head"] == pytest.approx(2 * few["sequence_head"])


def test_the_encoder_grows_faster_than_the_frames() -> None:
    half, whole = count_gflop(replace(R50, num_frames=18)), count_gflop(R50)
    assert whole["backbone"] == pytest.approx(2 * half["backbone"])
    assert whole["transformer"] > 2.9 * half["transformer"]
