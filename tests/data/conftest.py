"""Tiny videos written as a YouTube-VIS dataset: a bright square that moves right over a dark ground."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vistr.data.ytvis import VideoSet, read_ytvis

HEIGHT, WIDTH, SIDE, TOP = 48, 64, 16, 12


class TinyDataset:
    """`content` is what the annotation file will hold: change it before read()."""

    @staticmethod
    def left_of(frame: int) -> int:
        """The left side of the square."""
        return 4 + 4 * frame

    @classmethod
    def mask(cls, frame: int) -> np.ndarray:
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[TOP : TOP + SIDE, cls.left_of(frame) : cls.left_of(frame) + SIDE] = 1
        return mask

    @classmethod
    def polygon(cls, frame: int) -> list[list[float]]:
        left, right, bottom = cls.left_of(frame), cls.left_of(frame) + SIDE, TOP + SIDE
        return [[left, TOP, right, TOP, right, bottom, left, bottom]]

    def __init__(self, root: Path, lengths: Sequence[int]) -> None:
        self.annotation_file = root / "train.json"
        self.image_folder = root / "train" / "JPEGImages"
        self.content: dict[str, Any] = {
            "categories": [{"id": 7, "name": "square"}, {"id": 3, "name": "circle"}],
            "videos": [],
            "annotations": [],
        }
        for number, length in enumerate(lengths):
            video_id = 100 + number
            names = [f"video{number}/{frame:05d}.jpg" for frame in range(length)]
            self.content["videos"].append(
                {"id": video_id, "height": HEIGHT, "width": WIDTH, "length": length, "file_names": names}
            )
            self.content["annotations"].append(
                {
                    "id": 1 + number,
                    "video_id": video_id,
                    "category_id": 7,
                    "iscrowd": 0,
                    "segmentations": [self.polygon(frame) for frame in range(length)],
                    "bboxes": [[self.left_of(frame), TOP, SIDE, SIDE] for frame in range(length)],
                    "areas": [SIDE * SIDE] * length,
                }
            )
            for frame, name in enumerate(names):
                self.image(name).parent.mkdir(parents=True, exist_ok=True)
                gray = Image.fromarray(20 + 200 * self.mask(frame))
                gray.convert("RGB").save(self.image(name), quality=95)

    def image(self, name: str) -> Path:
        return self.image_folder / name

    @property
    def annotation(self) -> dict[str, Any]:
        return self.content["annotations"][0]

    def read(self) -> VideoSet:
        self.annotation_file.write_text(json.dumps(self.content))
        return read_ytvis(self.annotation_file, self.image_folder)


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., TinyDataset]:
    """tiny(5, 3): a dataset of two videos of 5 and 3 frames."""
    return lambda *lengths: TinyDataset(tmp_path, lengths)
