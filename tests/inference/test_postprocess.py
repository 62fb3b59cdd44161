"""From outputs to tracks, against the original's post-processing (tests/data/model/postprocess_a)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vistr.data.segmentation import decode
from vistr.inference.linking import TrackLinker
from vistr.inference.postprocess import clip_tracks
from vistr.inference.tracks import collect, video_results

GOLDEN = Path(__file__).parents[1] / "data/model/postprocess_a"


def smooth(seed: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Mask logits [T, N, h, w] with no value near 0, where rounding would decide."""
    logits = 4 * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return np.where(abs(logits) < 0.1, 1, logits).astype(np.float32)


def class_logits(num_frames: int, *labels: int) -> NDArray[np.float32]:
    """Logits [T, N, 6] that are sure of each slot's label."""
    logits = np.zeros((num_frames, len(labels), 6), np.float32)
    logits[:, np.arange(len(labels)), labels] = 10
    return logits


def test_one_clip_gives_the_original_results() -> None:
    expected = json.loads(GOLDEN.with_suffix(".json").read_text())
    arrays = np.load(GOLDEN.with_suffix(".npz"))
    masks = arrays["pred_masks"][0].reshape(expected["num_frames"], 10, 8, 12)
    size = (expected["height"], expected["width"])
    tracks = clip_tracks(
        arrays["pred_logits"][0].reshape(expected["num_frames"], 10, -1),
        masks,
        valid_size=(32, 48),
        video_size=size,
        num_valid_frames=expected["length"],
    )
    linker = TrackLinker()
    frames = [*linker.add(tracks, range(expected["length"])), *linker.finish()]
    labels = {label: label for label in range(41)}
    ours = video_results(collect(frames), video_id=7, num_frames=expected["length"], category_ids=labels)
    assert len(ours) == len(expected["results"]) == 9
    for mine, theirs in zip(ours, expected["results"], strict=True):
        assert mine == {**theirs, "score": pytest.approx(theirs["score"], abs=1e-6)}


def resized_by_hand(logits: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Bilinear resize of [h, w], corners not aligned, pixel by pixel."""
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * logits.shape[0] / height - 0.5, 0), logits.shape[0] - 1)
            u = min(max((x + 0.5) * logits.shape[1] / width - 0.5, 0), logits.shape[1] - 1)
            for j in {int(v), min(int(v) + 1, logits.shape[0] - 1)}:
                for i in {int(u), min(int(u) + 1, logits.shape[1] - 1)}:
                    result[y, x] += logits[j, i] * (1 - abs(v - j)) * (1 - abs(u - i))
    return result


@pytest.mark.parametrize(("height", "width"), [(9, 11), (20, 33), (5, 8), (3, 40)])
def test_masks_are_resized_bilinearly_to_the_video(height: int, width: int) -> None:
    masks = smooth(height, (2, 3, 5, 8))
    tracks = clip_tracks(
        class_logits(2, 1, 2, 3),
        masks,
        valid_size=(20, 32),
        video_size=(height, width),
        num_valid_frames=2,
    )
    assert [track.slot for track in tracks] == [0, 1, 2]
    for track in tracks:
        for frame, rle in enumerate(track.segmentations):
            assert rle is not None
            by_hand = resized_by_hand(masks[frame, track.slot], height, width)
            sure = abs(by_hand) > 1e-4
            assert np.array_equal(decode(rle)[sure], (by_hand > 0)[sure])


def test_padding_changes_nothing_whatever_the_masks_hold_there() -> None:
    inside = smooth(1, (1, 2, 6, 10))
    padded = np.full((1, 2, 8, 16), 50, np.float32)
    padded[:, :, :6, :10] = inside
    sizes: dict[str, Any] = {"valid_size": (24, 40), "video_size": (37, 61), "num_valid_frames": 1}
    plain = clip_tracks(class_logits(1, 1, 2), inside, **sizes)
    cut = clip_tracks(class_logits(1, 1, 2), padded, **sizes)
    assert [track.segmentations for track in cut] == [track.segmentations for track in plain]


@pytest.mark.parametrize("place", [(2, 12), (7, 3), (7, 12)])
def test_a_mask_in_the_padding_alone_is_no_mask(place: tuple[int, int]) -> None:
    masks = np.full((1, 1, 8, 16), -1, np.float32)
    masks[0, 0, place[0], place[1]] = 5
    sizes: dict[str, Any] = {"valid_size": (24, 40), "video_size": (37, 61)}
    assert clip_tracks(class_logits(1, 1), masks, num_valid_frames=1, **sizes) == []


def test_a_slot_without_a_mask_pixel_gives_no_track() -> None:
    masks = np.full((2, 3, 4, 4), -1, np.float32)
    masks[1, 1, 2, 2] = 1
    sizes = {"valid_size": (16, 16), "video_size": (8, 8)}
    (track,) = clip_tracks(class_logits(2, 1, 2, 3), masks, num_valid_frames=2, **sizes)
    assert track.slot == 1
    assert track.labels.tolist() == [2, 2]
    assert clip_tracks(class_logits(2, 1, 2, 3), masks, num_valid_frames=1, **sizes) == []


def test_a_frame_with_hardly_any_score_is_absent_but_counts_in_the_mean() -> None:
    logits = class_logits(2, 4)
    logits[1, 0] = [0, 0, 0, 0, 0, 30]
    masks = np.ones((2, 1, 4, 4), np.float32)
    sizes = {"valid_size": (16, 16), "video_size": (8, 8)}
    (track,) = clip_tracks(logits, masks, num_valid_frames=2, **sizes)
    assert track.segmentations[0] is not None
    assert track.segmentations[1] is None
    assert track.scores[0] > 0.99
    assert track.scores[1] < 0.001
    assert track.probabilities.shape == (5,)
    assert track.probabilities[4] == pytest.approx(track.scores.mean())
