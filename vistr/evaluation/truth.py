"""The truth of some videos, as the evaluation reads it."""

from __future__ import annotations

from typing import Any

from vistr.data.segmentation import area, to_json
from vistr.data.videos import Annotation, VideoSet


def truth_of(video_set: VideoSet) -> dict[str, Any]:
    """The videos' annotations in the YouTube-VIS format; areas that the file does not give come from the masks."""
    return {
        "categories": [{"id": c.id, "name": c.name} for c in video_set.categories],
        "videos": [
            {"id": v.id, "height": v.height, "width": v.width, "length": len(v), "file_names": list(v.file_names)}
            for v in video_set.videos
        ],
        "annotations": [_entry(a, v.id) for v in video_set.videos for a in v.annotations],
    }


def _entry(annotation: Annotation, video_id: int) -> dict[str, Any]:
    areas = [
        stated if stated is not None or rle is None else area(rle)
        for stated, rle in zip(annotation.areas, annotation.segmentations, strict=True)
    ]
    return {
        "id": annotation.id,
        "video_id": video_id,
        "category_id": annotation.category_id,
        "iscrowd": int(annotation.iscrowd),
        "segmentations": [rle and to_json(rle) for rle in annotation.segmentations],
        "areas": areas,
    }
