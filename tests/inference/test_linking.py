"""Linking the tracks of overlapping clips through long generated videos whose truth is known."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from vistr.data.segmentation import RLE, area, encode, sequence_iou, to_json
from vistr.evaluation.official import evaluate
from vistr.inference.linking import TrackLinker
from vistr.inference.postprocess import ClipTrack
from vistr.inference.tracks import Track, collect, video_results

HEIGHT, WIDTH = 48, 96
CATEGORIES = {label: 10 * label for label in (1, 2, 3)}


@dataclass
class Mover:
    """A rectangle of 12 x 16 pixels on a straight path, reflected at the borders, there in some frames."""

    label: int
    start: tuple[float, float]
    speed: tuple[float, float]
    first: int = 0
    last: int = 10**9

    def mask(self, frame: int, shift: int = 0) -> RLE | None:
        if not self.first <= frame <= self.last:
            return None
        room = (HEIGHT - 12, WIDTH - 16)
        place = [s + v * frame for s, v in zip(self.start, self.speed, strict=True)]
        y, x = (round(r - abs(p % (2 * r) - r)) for p, r in zip(place, room, strict=True))
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[y : y + 12, max(x + shift, 0) : x + shift + 16] = True
        return encode(mask)


def clip_track(slot: int, label: int, masks: list[RLE | None], score: float = 0.9) -> ClipTrack:
    probabilities = np.full(4, (0.95 - score) / 3, np.float32)
    probabilities[label] = score
    scores = np.array([score if mask else 0.0005 for mask in masks], np.float32)
    return ClipTrack(slot, np.full(len(masks), label), scores, probabilities, masks)


def join(*clips: tuple[list[ClipTrack], Sequence[int]], min_iou: float = 0.3, min_score: float = 0) -> list[Track]:
    """The whole tracks that come of some clips."""
    linker = TrackLinker(min_iou=min_iou)
    frames = [frame for tracks, numbers in clips for frame in linker.add(tracks, numbers)] + linker.finish()
    assert [frame.index for frame in frames] == list(range(len(frames)))
    return collect(frames, min_score=min_score)


def link(movers: list[Mover], num_frames: int, length: int, overlap: int, seed: int = 0) -> list[Track]:
    """Clips whose slots are permuted at random and whose masks are off by up to a pixel."""
    rng = np.random.default_rng(seed)
    starts = [*range(0, num_frames - length, length - overlap), num_frames - length]
    clips: list[tuple[list[ClipTrack], Sequence[int]]] = []
    for start in starts:
        frames = range(start, start + length)
        tracks = []
        for slot, index in enumerate(rng.permutation(len(movers))):
            masks = [movers[index].mask(frame, int(rng.integers(-1, 2))) for frame in frames]
            if any(masks):
                tracks.append(clip_track(slot, movers[index].label, masks))
        clips.append((tracks, frames))
    return join(*clips)


def truth(movers: list[Mover], num_frames: int) -> dict[str, object]:
    annotations = []
    for index, mover in enumerate(movers):
        masks = [mover.mask(frame) for frame in range(num_frames)]
        annotations.append(
            {
                "id": index + 1,
                "video_id": 1,
                "category_id": CATEGORIES[mover.label],
                "iscrowd": 0,
                "areas": [mask and area(mask) for mask in masks],
                "segmentations": [mask and to_json(mask) for mask in masks],
            }
        )
    names = [f"{frame}.jpg" for frame in range(num_frames)]
    video = {"id": 1, "height": HEIGHT, "width": WIDTH, "file_names": names}
    categories = [{"id": number, "name": str(number)} for number in CATEGORIES.values()]
    return {"videos": [video], "categories": categories, "annotations": annotations}


def check(movers: list[Mover], tracks: list[Track], num_frames: int) -> None:
    """Every track follows one object through all its frames, and the whole scores AP 1 at IoU 0.5 to 0.75."""
    assert len(tracks) == len(movers)
    iou, _ = sequence_iou(
        [track.between(0, num_frames) for track in tracks],
        [[mover.mask(frame) for frame in range(num_frames)] for mover in movers],
    )
    assert sorted(iou.argmax(1).tolist()) == list(range(len(movers)))
    assert (iou.max(1) > 0.85).all()
    assert [track.label for track in tracks] == [movers[index].label for index in iou.argmax(1)]
    results = video_results(tracks, video_id=1, num_frames=num_frames, category_ids=CATEGORIES)
    assert evaluate(truth(movers, num_frames), results).figures["AP75"] == pytest.approx(1)


@pytest.mark.parametrize(("length", "overlap"), [(2, 1), (5, 1), (8, 4), (12, 3), (12, 11), (36, 18)])
@pytest.mark.parametrize("seed", [0, 1])
def test_identities_stay_through_a_long_video(length: int, overlap: int, seed: int) -> None:
    # The two of one category keep apart; the third crosses both again and again.
    movers = [
        Mover(1, (2, 3), (0, 1.1)),
        Mover(1, (34, 50), (0, 0.9)),
        Mover(2, (10, 70), (0.3, -0.8)),
    ]
    check(movers, link(movers, 160, length, overlap, seed), 160)


def test_an_object_may_come_later_and_leave_earlier() -> None:
    movers = [
        Mover(1, (2, 3), (0.7, 1.1), last=40),
        Mover(1, (30, 50), (-0.4, 0.9), first=55),
        Mover(2, (10, 70), (0.3, -0.8), first=33, last=70),
    ]
    tracks = link(movers, 120, 12, 4)
    check(movers, tracks, 120)
    seen = [[frame for frame, mask in enumerate(track.between(0, 120)) if mask] for track in tracks]
    assert sorted((frames[0], frames[-1]) for frames in seen) == [(0, 40), (33, 70), (55, 119)]


def test_crossing_objects_of_different_categories_are_told_apart_by_class() -> None:
    # They lie on top of each other in the only frame that the two clips share.
    movers = [Mover(1, (10, 20), (0, 2)), Mover(2, (10, 60), (0, -2))]
    assert movers[0].mask(10) == movers[1].mask(10)
    for seed in range(6):
        tracks = link(movers, 21, 11, 1, seed)
        assert [set(track.labels) for track in tracks] in ([{1}, {2}], [{2}, {1}])
        check(movers, tracks, 21)


def test_crossing_objects_of_one_category_are_told_apart_by_their_masks() -> None:
    movers = [Mover(1, (10, 20), (0, 2)), Mover(1, (10, 60), (0, -2))]
    for seed in range(6):
        check(movers, link(movers, 30, 12, 6, seed), 30)


def test_a_doubtful_copy_does_not_steal_the_track() -> None:
    masks = [Mover(1, (5, 5), (0, 1)).mask(frame) for frame in range(12)]
    tracks = join(
        ([clip_track(0, 1, masks[:8], 0.9), clip_track(1, 1, masks[:8], 0.2)], range(8)),
        ([clip_track(0, 1, masks[4:], 0.2), clip_track(1, 1, masks[4:], 0.9)], range(4, 12)),
    )
    assert [track.score for track in tracks] == pytest.approx([0.9, 0.2])


def test_masks_that_hardly_overlap_start_a_new_track() -> None:
    here, there = Mover(1, (0, 0), (0, 0)).mask(0), Mover(1, (0, 10), (0, 0)).mask(0)
    tracks = join(([clip_track(0, 1, [here, here])], [0, 1]), ([clip_track(0, 1, [there, there])], [1, 2]))
    assert [(track.first_frame, track.end) for track in tracks] == [(0, 2), (1, 3)]


def test_the_later_clip_takes_over_in_the_middle_of_the_shared_frames() -> None:
    mask = Mover(1, (5, 5), (0, 0)).mask(0)
    clips = ([clip_track(0, 1, [mask] * 8, 0.5)], range(8)), ([clip_track(0, 1, [mask] * 8, 0.7)], range(4, 12))
    (track,) = join(*clips)
    assert track.scores == pytest.approx([0.5] * 6 + [0.7] * 6)


def test_clips_without_shared_frames_are_joined_at_the_border() -> None:
    movers = [Mover(1, (2, 3), (0.7, 1.1)), Mover(2, (30, 50), (-0.4, 0.9))]
    check(movers, link(movers, 60, 6, 0), 60)
    check(movers, link(movers, 60, 1, 0), 60)


def test_a_track_lost_for_one_clip_is_found_again_while_frames_are_shared() -> None:
    mover = Mover(1, (5, 5), (0, 1))
    clips = []
    for start, seen in ((0, True), (3, False), (6, True)):
        frames = range(start, start + 9)
        clips.append(([clip_track(0, 1, [mover.mask(frame) for frame in frames])] if seen else [], frames))
    (track,) = join(*clips)
    assert (track.first_frame, track.end) == (0, 15)
    assert all(track.segmentations)


def test_tracks_under_the_least_score_are_dropped() -> None:
    mask = Mover(1, (5, 5), (0, 0)).mask(0)
    far = Mover(1, (30, 60), (0, 0)).mask(0)
    tracks = join(([clip_track(0, 1, [mask], 0.9), clip_track(1, 2, [far], 0.3)], [0]), min_score=0.5)
    assert [track.label for track in tracks] == [1]


def test_the_linker_is_ready_for_another_video_when_finished() -> None:
    mask = Mover(1, (5, 5), (0, 0)).mask(0)
    linker = TrackLinker()
    for _ in range(2):
        frames = linker.add([clip_track(0, 1, [mask, mask])], range(2)) + linker.finish()
        assert [(track.id, track.end) for track in collect(frames)] == [(0, 2)]
    assert linker.finish() == []


def test_frames_come_out_once_and_in_order_with_what_is_known_of_the_track_by_then() -> None:
    mask = Mover(1, (5, 5), (0, 0)).mask(0)
    linker = TrackLinker()
    assert linker.add([clip_track(0, 1, [mask] * 6, 0.9)], range(6)) == []
    early = linker.add([clip_track(0, 2, [mask] * 6, 0.5)], range(4, 10))
    late = linker.finish()
    assert [frame.index for frame in early] == [0, 1, 2, 3]
    assert [frame.index for frame in late] == [4, 5, 6, 7, 8, 9]
    # Five frames say 1 with 0.9, five say 2 with 0.5: of equals the smaller label.
    seen = [sighting for frame in early + late for sighting in frame.sightings]
    assert {(s.track_id, s.track_label, round(s.track_score, 6)) for s in seen} == {(0, 1, 0.7)}
    assert [s.label for s in seen] == [1] * 5 + [2] * 5


def test_the_linker_holds_no_more_of_a_long_video_than_of_a_short_one() -> None:
    mover = Mover(1, (5, 5), (0.3, 1))
    linker = TrackLinker()

    def held(first: int, last: int) -> int:
        for start in range(first, last, 4):
            frames = range(start, start + 8)
            linker.add([clip_track(0, 1, [mover.mask(frame) for frame in frames])], frames)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    short, long = held(0, 200), held(200, 1000)
    tracemalloc.stop()
    assert long < short + 60_000  # the codes of 800 frames would take three times that


@pytest.mark.parametrize("frames", [[4, 6], [4, 3], [9, 10], [0, 1], [1, 2]])
def test_clips_that_do_not_continue_the_video_are_refused(frames: list[int]) -> None:
    linker = TrackLinker()
    linker.add([], range(8))
    with pytest.raises(ValueError, match="do not continue"):
        linker.add([], frames)


def test_a_track_without_a_mask_for_every_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 3 masks"):
        TrackLinker().add([clip_track(0, 1, [None, None])], range(3))


def test_results_leave_label_0_out_and_write_null_where_the_track_is_not() -> None:
    mask = Mover(1, (5, 5), (0, 0)).mask(0)
    assert mask is not None
    tracks = join(([clip_track(0, 0, [mask, mask])], [0, 1]), ([clip_track(0, 3, [None, mask, None])], [2, 3, 4]))
    (result,) = video_results(tracks, video_id=5, num_frames=6, category_ids=CATEGORIES)
    assert result["video_id"] == 5
    assert result["category_id"] == 30
    assert result["segmentations"] == [None, None, None, to_json(mask), None, None]


def test_memory_holds_run_lengths_only() -> None:
    movers = [Mover(1, (2, 3), (0.7, 1.1)), Mover(2, (30, 50), (-0.4, 0.9))]
    tracemalloc.start()
    tracks = link(movers, 1000, 12, 4)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(tracks) == 2
    assert held < 0.25 * 2 * 1000 * HEIGHT * WIDTH
