"""More objects than slots."""

from __future__ import annotations

from pathlib import Path

from vistr.data.segmentation import RLE
from vistr.data.slots import overfull
from vistr.data.videos import Annotation, Category, Video, VideoSet

RLE_ = RLE(size=[4, 4], counts=b"0")


def videos(*shown: list[str], crowds: int = 0) -> VideoSet:
    """Videos whose objects are to be seen where their text has an x."""
    made = []
    for number, objects in enumerate(shown):
        annotations = tuple(
            Annotation(
                place,
                1,
                tuple(RLE_ if mark == "x" else None for mark in marks),
                tuple((0.0, 0.0, 1.0, 1.0) if mark == "x" else None for mark in marks),
                (None,) * len(marks),
                place < crowds,
            )
            for place, marks in enumerate(objects)
        )
        names = tuple(f"{number}/{frame}.jpg" for frame in range(len(objects[0])))
        made.append(Video(number, 4, 4, names, annotations))
    return VideoSet(Path("a.json"), Path("images"), (Category(1, "cat"),), tuple(made))


def test_the_videos_and_the_share_of_objects_without_a_slot_are_counted() -> None:
    few, many = ["xxxx", "xx--"], ["xxxx"] * 5
    assert overfull(videos(few, many), 2, 5) is None
    said = overfull(videos(few, many), 2, 2)
    assert said is not None
    # 4 clips of 5 objects, of which 3 have no slot; the clips of the other video show 2, 2, 2 and 1.
    assert said.startswith("1 of 2 videos show more objects in 2 frames than num_instances=2 has slots for (up to 5):")
    assert "44.4% of the objects" in said
    assert "num_instances=5 has room for all" in said


def test_what_counts_is_what_a_clip_shows_and_crowds_take_no_slot() -> None:
    one_after_the_other = ["xx----", "--xx--", "----xx"]
    assert overfull(videos(one_after_the_other), 1, 1) is None
    assert overfull(videos(one_after_the_other), 6, 1) is not None
    assert overfull(videos(["xxx", "xxx", "xxx"], crowds=2), 3, 1) is None
    assert overfull(videos(["xxx"]), 3, 1) is None
