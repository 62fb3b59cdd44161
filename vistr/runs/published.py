"""Published figures on YouTube-VIS 2019 (public validation set, scored by the evaluation server)."""

from __future__ import annotations

from dataclasses import dataclass

DATASET = "ytvis2019"
NOTE = (
    "Published rows: YouTube-VIS 2019, public validation set, scored by the evaluation server; FPS on the authors' "
    "GPUs, with data loading where both are given. A holdout of the training videos is another set of videos."
)


@dataclass(frozen=True)
class Published:
    """A method's row: figures in [0, 1], frames per second; what was not published is missing."""

    method: str
    backbone: str
    figures: dict[str, float]


def _row(method: str, backbone: str, fps: float | None, *percent: float | None) -> Published:
    values = zip(("AP", "AP50", "AP75", "AR1", "AR10"), percent, strict=True)
    figures = {name: round(value / 100, 4) for name, value in values if value is not None}
    if fps is not None:
        figures["frames_per_second_with_loading"] = fps
    return Published(method, backbone, figures)


# The benchmark table of the MindSpore port this project began from. VisTR (PyTorch), the network alone: 69.9
# frames/s with R50, 57.7 with R101.
PUBLISHED = (
    _row("DeepSORT", "r50", None, 26.1, 42.9, 26.1, 27.8, 31.3),
    _row("FEELVOS", "r50", None, 26.9, 42.0, 29.7, 29.9, 33.4),
    _row("OSMN", "r50", None, 27.5, 45.1, 29.1, 28.6, 33.1),
    _row("MaskTrack R-CNN", "r50", 20.0, 30.3, 51.1, 32.6, 31.0, 35.5),
    _row("STEm-Seg", "r50", None, 30.6, 50.7, 33.5, 31.6, 37.1),
    _row("STEm-Seg", "r101", 2.1, 34.6, 55.8, 37.9, 34.4, 41.6),
    _row("MaskProp", "r50", None, 40.0, None, 42.9, None, None),
    _row("MaskProp", "r101", None, 42.5, None, 45.6, None, None),
    _row("VisTR (PyTorch)", "r50", 30.0, 36.2, 59.8, 36.9, 37.2, 42.4),
    _row("VisTR (PyTorch)", "r101", 27.7, 40.1, 64.0, 45.0, 38.3, 44.9),
    _row("VisTR (MindSpore)", "r50", None, 35.8, 60.8, 37.4, 36.5, 42.1),
)
