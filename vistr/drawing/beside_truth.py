"""Predicted beside annotated tracks of a video in a report: a matched pair has one number and color."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vistr.data.segmentation import RLE
from vistr.data.videos import Video
from vistr.drawing.report import ReportTrack
from vistr.evaluation.pairing import FOUND_IOU, VideoPairs


def report_tracks(pairs: VideoPairs, video: Video, names: Mapping[int, str]) -> list[ReportTrack]:
    """The video's predictions and annotated objects, with a remark on each: found, missed, of another category.

    Objects are numbered from 0; a prediction that stands for an object carries its number, the others follow on.
    """
    object_of = {prediction: number for number, prediction in pairs.pairs.items()}
    others = (index for index in range(len(pairs.predictions)) if index not in object_of)
    numbers = {**object_of, **{index: len(pairs.truth) + count for count, index in enumerate(others)}}
    predicted = [
        ReportTrack(
            numbers[index],
            names[category],
            track.score,
            0,
            fitting(track.segmentations, video),
            note=_prediction_note(pairs, index, object_of.get(index), names),
        )
        for index, (category, track) in enumerate(pairs.predictions)
    ]
    truth = [
        ReportTrack(
            number,
            names[category],
            None,
            0,
            fitting(track.segmentations, video),
            truth=True,
            note=_object_note(pairs, number, numbers, names),
        )
        for number, (category, track) in enumerate(pairs.truth)
    ]
    return [*predicted, *truth]


def fitting(segmentations: Sequence[RLE | None], video: Video) -> list[RLE | None]:
    """A mask for each frame of the video; masks of another size than the video's cannot be drawn."""
    size = [video.height, video.width]
    return [rle if rle is not None and list(rle["size"]) == size else None for rle in segmentations[: len(video)]]


def _prediction_note(pairs: VideoPairs, index: int, number: int | None, names: Mapping[int, str]) -> str:
    if number is not None:
        return f"overlap {pairs.iou[index, number]:.2f}"
    if not pairs.truth:
        return ""
    nearest = int(pairs.iou[index].argmax())
    if pairs.iou[index, nearest] < FOUND_IOU:
        return "no annotated object"
    if pairs.truth[nearest][0] == pairs.predictions[index][0]:
        return f"covers {nearest} once more"
    return f"covers {nearest}, annotated as {names[pairs.truth[nearest][0]]}"


def _object_note(pairs: VideoPairs, number: int, numbers: Mapping[int, int], names: Mapping[int, str]) -> str:
    if number in pairs.pairs:
        overlap = pairs.iou[pairs.pairs[number], number]
        return f"{'found' if overlap >= FOUND_IOU else 'found in part'}, overlap {overlap:.2f}"
    if len(pairs.predictions):
        nearest = int(pairs.iou[:, number].argmax())
        if pairs.iou[nearest, number] >= FOUND_IOU:
            return f"missed, taken for {names[pairs.predictions[nearest][0]]} by {numbers[nearest]}"
    return "missed"
