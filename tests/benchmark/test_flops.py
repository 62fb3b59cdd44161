"""FLOP counts of the original network, against those published for it or counted layer by layer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vistr.benchmark.flops import count_gflop
from vistr.config import Config, ResNet
from vistr.models.backbones import BACKBONES, Swin

R50 = Config()


def gflop_of(config: Config, height: int = 300, width: int = 540, num_logits: int = 42) -> dict[str, float]:
    return count_gflop(config, num_logits, height, width)


PARTS = ("backbone", "transformer", "mask_head", "sequence_head", "rest")


@pytest.mark.parametrize(
    ("part", "gflop"),
    [("backbone", 974), ("transformer", 558), ("mask_head", 516), ("sequence_head", 114), ("total", 2174)],
)
def test_r50_at_the_papers_size(part: str, gflop: float) -> None:
    assert gflop_of(R50)[part] == pytest.approx(gflop, rel=0.02)


def test_r101_at_its_own_size() -> None:
    config = Config(backbone=ResNet("r101"))
    assert gflop_of(config, 280, 504, num_logits=41)["total"] == pytest.approx(2616, rel=0.02)


@pytest.mark.parametrize(("backbone", "gflop"), [("r18", 3.63), ("r34", 7.33), ("r50", 8.18), ("r101", 15.6)])
def test_backbones_at_the_size_of_classification(backbone: str, gflop: float) -> None:
    assert BACKBONES[backbone].flop(224, 224) / 1e9 == pytest.approx(gflop, rel=0.02)


@pytest.mark.parametrize(
    ("backbone", "window", "side", "giga_multiply_adds"),
    [("swin_t", 7, 224, 4.5), ("swin_s", 7, 224, 8.7), ("swin_b", 12, 384, 47.1), ("swin_l", 12, 384, 103.9)],
)
def test_swins_at_the_size_they_were_published_at(
    backbone: str, window: int, side: int, giga_multiply_adds: float
) -> None:
    settings = BACKBONES[backbone]
    assert isinstance(settings, Swin)
    assert settings.window == window
    assert settings.flop(side, side) / 2e9 == pytest.approx(giga_multiply_adds, rel=0.02)


@pytest.mark.parametrize("backbone", ["r10", "r18", "r50"])
@pytest.mark.parametrize("dilation", [False, True])
def test_the_total_is_the_sum_of_the_parts(backbone: str, dilation: bool) -> None:
    gflop = gflop_of(Config(backbone=ResNet(backbone, dilation=dilation)))
    assert set(gflop) == {*PARTS, "total"}
    assert gflop["total"] == pytest.approx(sum(gflop[part] for part in PARTS))


def test_dilation_gives_the_transformer_more_tokens_and_masks_the_same_size() -> None:
    small, large = (
        gflop_of(Config(num_frames=2, backbone=ResNet(dilation=dilation)), 128, 128) for dilation in (False, True)
    )
    assert large["transformer"] > 2.5 * small["transformer"]
    assert large["sequence_head"] == small["sequence_head"]


def test_what_grows_with_the_slots_and_what_does_not() -> None:
    few, many = gflop_of(replace(R50, num_instances=5)), gflop_of(R50)
    assert many["backbone"] == few["backbone"]
    assert many["sequence_head"] == pytest.approx(2 * few["sequence_head"])


def test_the_encoder_grows_faster_than_the_frames() -> None:
    half, whole = gflop_of(replace(R50, num_frames=18)), gflop_of(R50)
    assert whole["backbone"] == pytest.approx(2 * half["backbone"])
    assert whole["transformer"] > 2.9 * half["transformer"]
