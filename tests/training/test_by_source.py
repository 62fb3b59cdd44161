"""Losses and clips of a mixture's parts, apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests import tiny
from vistr.data.clips import Batch
from vistr.runtime.parallel import Ranks
from vistr.training.by_source import SHOWN, BySource
from vistr.training.tracking import Silent, Tracker


class Twice(Ranks):
    """Two ranks that do the same."""

    def __init__(self) -> None:
        super().__init__(0, 2)

    def sum(self, values: Sequence[float]) -> list[float]:
        return [2 * value for value in values]


def batch(*sources: str) -> Batch:
    clips = [tiny.clip(1, 1) for _ in sources]
    for clip, source in zip(clips, sources, strict=True):
        clip.targets[0].source = source
    return tiny.join(clips)


def losses(total: float) -> dict[str, float]:
    return dict.fromkeys(SHOWN, total) | {"class_0": 9.0}


@pytest.mark.parametrize("ranks", [Ranks(), Twice()])
def test_a_sources_loss_is_what_its_clips_add_divided_by_their_share(ranks: Ranks) -> None:
    figures = BySource(("coco", "videos", "others"), Silent())
    figures.add(batch("coco"), losses(3 / ranks.size), {})
    figures.add(batch("videos"), losses(1 / ranks.size), {})
    figures.add(batch("coco"), losses(2 / ranks.size), {})
    found = figures.figures(ranks)
    assert found["source/coco/loss"] == pytest.approx(5 * 3 / 2)
    assert found["source/videos/dice"] == pytest.approx(1 * 3 / 1)
    assert "source/others/loss" not in found
    shares = {"coco": 2 / 3, "videos": 1 / 3}
    # Together they are the step's loss.
    assert sum(shares[name] * found[f"source/{name}/loss"] for name in shares) == pytest.approx(6)
    counted = [found[f"source/{name}/clips"] for name in ("coco", "videos", "others")]
    assert counted == [2 * ranks.size, ranks.size, 0]


def test_batches_of_several_sources_count_where_losses_are_known_by_clip() -> None:
    figures = BySource(("coco", "videos"), Silent())
    figures.add(batch("coco", "videos"), losses(5), {"class": np.array([3.0, 2.0]), "box": np.array([4.0, 1.0])})
    figures.add(batch("videos", "videos"), losses(2), {"class": np.array([1.5, 0.5]), "box": np.array([1.0, 1.0])})
    found = figures.figures(Ranks())
    assert found["source/coco/class"] == pytest.approx(3 * 4 / 1)
    assert found["source/videos/class"] == pytest.approx((2 + 2) * 4 / 3)
    assert found["source/coco/box"] == pytest.approx(4 * 4 / 1)
    assert found["source/videos/loss"] == pytest.approx(2 * 4 / 2)
    assert "source/coco/loss" not in found
    assert (found["source/coco/clips"], found["source/videos/clips"]) == (1, 3)


def test_clips_are_counted_on_after_a_resume_and_tagged_by_source(tmp_path: Path) -> None:
    for step, resumed in ((1, None), (2, 1), (2, 1)):  # the second step is made twice: its record was lost
        with Tracker(tmp_path, resume_step=resumed) as tracker:
            figures = BySource(("coco",), tracker)
            figures.add(batch("coco"), losses(1), {})
            tracker.scalars(step, figures.figures(Ranks()), "train", epoch=1)
            figures.add(batch("coco"), losses(1), {})
    scalars = EventAccumulator(str(tmp_path)).Reload()
    assert [(one.step, one.value) for one in scalars.Scalars("source/coco/clips")] == [(1, 1), (2, 2)]
    assert np.isclose(scalars.Scalars("source/coco/loss")[0].value, 1)


def test_without_a_mixture_there_is_nothing_to_tell() -> None:
    figures = BySource((), Silent())
    figures.add(batch(""), losses(1), {})
    assert figures.figures(Ranks()) == {}
