"""Which videos a configuration names, and who of several ranks reads them first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vistr.config import Config
from vistr.config.open_videos import open_split, reading
from vistr.runtime.parallel import Ranks


class Waiting(Ranks):
    """Notes whether the first rank went ahead."""

    went_ahead = False

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        self.went_ahead = True
        yield


@pytest.mark.parametrize(
    ("name", "named", "waits"), [("shapes", False, True), ("shapes", True, False), ("ovis", False, False)]
)
def test_ranks_wait_for_each_other_only_where_videos_are_made(name: str, named: bool, waits: bool) -> None:
    config, ranks = Config(), Waiting(1, 2)
    config.dataset.name = name
    if named:
        config.dataset.annotations, config.dataset.images = "a.json", "images"
    with reading(config, ranks):
        pass
    assert ranks.went_ahead is waits


def test_generated_videos_are_made_when_they_are_opened(tmp_path: Path) -> None:
    config = Config()
    config.dataset.name, config.dataset.root = "shapes", str(tmp_path)
    config.dataset.num_videos = config.dataset.video_length = 2
    assert [len(video) for video in open_split(config.dataset, "train").videos] == [2, 2]
