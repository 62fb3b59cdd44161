"""The parts of a training that a configuration describes."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests import tiny
from vistr.config import Config
from vistr.data.videos import Video, VideoSet
from vistr.runtime import parallel
from vistr.training import parts as training_parts
from vistr.training.parts import default_workers, make_loader, step_noise


@pytest.mark.parametrize(
    ("cores", "ranks", "expected"), [(1, 1, 1), (2, 1, 1), (6, 1, 5), (64, 1, 8), (16, 4, 3), (8, 8, 1), (4, 8, 1)]
)
def test_workers_come_from_the_cores_and_the_ranks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, cores: int, ranks: int, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    if ranks > 1:
        monkeypatch.setenv(parallel.HUB, "127.0.0.1:1")
        # Of several machines, each of which has its share of them.
        monkeypatch.setenv("MS_WORKER_NUM", str(2 * ranks))
        monkeypatch.setenv(parallel.LOCAL_RANKS, str(ranks))
    assert default_workers() == expected
    config, videos = Config(), VideoSet(tmp_path, tmp_path, (), (Video(1, 8, 8, ("a",), ()),))  # type: ignore[arg-type]
    assert config.dataset.num_workers is None
    assert make_loader(config, {"shapes": videos}).num_workers == expected
    config.dataset.num_workers = 0
    assert make_loader(config, {"shapes": videos}).num_workers == 0


@pytest.mark.parametrize(("device", "expected"), [("CPU", 3), ("GPU", 2)])
def test_on_a_gpu_every_batch_is_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, device: str, expected: int
) -> None:
    monkeypatch.setattr(training_parts, "use_device", lambda *_: device)
    frames = tuple("abcde")
    config, videos = Config(), VideoSet(tmp_path, tmp_path, (), (Video(1, 8, 8, frames, ()),))  # type: ignore[arg-type]
    config.training.batch_size = 2
    assert len(make_loader(config, {"shapes": videos})) == expected


def test_what_drops_out_follows_from_the_seed_and_the_draw() -> None:
    config = tiny.config(name="tiny_swin")
    noise, same, other = (step_noise(config, 4, draw) for draw in (3, 3, 4))
    for drawn, again, another in zip(noise, same, other, strict=True):
        assert drawn is not None
        assert again is not None
        np.testing.assert_array_equal(drawn, again)
        assert another is not None
        assert (drawn != another).any()
    assert noise.paths is not None
    assert noise.paths.shape == (4, len(config.backbone.branch_rates))
    assert step_noise(tiny.config(dropout=0.0), 4, 3) == (None, None)
