"""`task=infer` from a checkpoint to files, and every mistake in one sentence."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vistr.tasks.infer
from tests import tiny
from vistr import draw, load_config, load_predictor, open_video
from vistr.config import Config
from vistr.config.compose import to_dict
from vistr.data.video import VideoFile, VideoWriter
from vistr.data.videos import Category
from vistr.errors import UserError
from vistr.inference.predictor import Predictor
from vistr.inference.video_clips import ClipSettings
from vistr.models.build import build_model
from vistr.models.vistr import VisTR
from vistr.runtime.device import use_device
from vistr.weights import load_torch_state_dict
from vistr.weights.checkpoint import Metadata, save_checkpoint

CATEGORIES = [Category(3, "person"), Category(5, "dog"), Category(6, "cat"), Category(9, "traffic light")]
HEIGHT, WIDTH = 40, 66


def frame(number: int) -> np.ndarray:
    pixels = np.random.default_rng(number).integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[8:24, 3 * number : 3 * number + 20] = (230, 220, 40)
    return pixels


SLOW_FIXTURES = ("predictor",)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with weights nobody trained: it finds something everywhere."""
    use_device("cpu")
    config = tiny.config(name="r10", num_frames=3)
    config.dataset.root = "/a/folder/that/is/gone"
    config.dataset.short_side, config.dataset.long_side = 32, 64
    model = build_model(config, len(CATEGORIES))
    load_torch_state_dict(model, tiny.state_dict(model))
    path = tmp_path_factory.mktemp("run") / "checkpoint.safetensors"
    save_checkpoint(path, model, Metadata(to_dict(config), CATEGORIES), {})
    return path


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> Predictor:
    """The checkpoint's predictor, compiled once for all tests."""
    return load_predictor(checkpoint, device="cpu", min_score=0)


@pytest.fixture
def compiled(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the task take that predictor instead of compiling its own."""

    def make(config: Config, _: Any, min_score: float) -> Predictor:
        settings: ClipSettings = predictor.settings
        model: VisTR = predictor.model
        return Predictor(model, settings, categories=predictor.categories, min_score=min_score)

    monkeypatch.setattr(vistr.tasks.infer, "make_predictor", make)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    with VideoWriter(tmp_path / "walk.mp4", 12.5) as writer:
        for number in range(8):
            writer.write(frame(number))
    return tmp_path / "walk.mp4"


def infer(checkpoint: Path, given: object, folder: Path, *overrides: str) -> Path:
    """Run the task; returns the folder of its results."""
    config = load_config(["task=infer", f"checkpoint={checkpoint}", f"input={given}", "min_score=0", *overrides])
    config.run_dir = str(folder)
    vistr.tasks.infer.run(config)
    return folder / "results"


def rows(results: Path) -> list[dict[str, str]]:
    with (results / "tracks.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_video_becomes_data_pictures_and_a_video(
    checkpoint: Path, compiled: None, video: Path, tmp_path: Path
) -> None:
    results = infer(checkpoint, video, tmp_path / "run")
    entries = json.loads((results / "results.json").read_text())
    assert entries
    for entry in entries:
        assert set(entry) == {"video_id", "score", "category_id", "segmentations"}
        assert entry["category_id"] in {category.id for category in CATEGORIES}
        assert len(entry["segmentations"]) == 8
        assert {tuple(mask["size"]) for mask in entry["segmentations"] if mask} == {(HEIGHT, WIDTH)}
    table = rows(results)
    assert {row["track"] for row in table} <= {str(number) for number in range(1, len(entries) + 1)}
    assert {row["video"] for row in table} == {"walk"}
    overlay = VideoFile(results / "overlay.mp4")
    assert (overlay.size, overlay.frames_per_second, len(list(overlay))) == ((HEIGHT, WIDTH), 12.5, 8)
    with Image.open(results / "contact_sheet.png") as sheet:
        assert sheet.width > 6 * WIDTH
    assert (results / "report.html").read_text().count('class="frame"') == 8
    left = {path.name for path in results.iterdir()}
    assert left == {"results.json", "tracks.csv", "overlay.mp4", "contact_sheet.png", "report.html"}


def test_the_task_and_python_find_the_same(
    checkpoint: Path, predictor: Predictor, compiled: None, video: Path, tmp_path: Path
) -> None:
    results = infer(checkpoint, video, tmp_path / "run", "overlay=false")
    boxes = {(int(row["frame"]), int(row["x"]), int(row["y"]), int(row["width"])) for row in rows(results)}
    for tracks in predictor.stream(open_video(video)):
        assert draw(tracks).shape == (HEIGHT, WIDTH, 3)
        for track in tracks:
            y, x = np.nonzero(track.mask)
            assert (tracks.index, x.min(), y.min(), np.ptp(x) + 1) in boxes
    assert tracks.index == 7


def test_data_only_draws_nothing(checkpoint: Path, compiled: None, video: Path, tmp_path: Path) -> None:
    results = infer(checkpoint, video, tmp_path / "run", "overlay=false")
    assert {path.name for path in results.iterdir()} == {"results.json", "tracks.csv"}


def test_filters_keep_the_best_tracks_of_the_named_categories(
    checkpoint: Path, compiled: None, video: Path, tmp_path: Path
) -> None:
    def entries(name: str, *overrides: str) -> list[dict[str, Any]]:
        results = infer(checkpoint, video, tmp_path / name, "overlay=false", *overrides)
        found: list[dict[str, Any]] = json.loads((results / "results.json").read_text())
        return found

    everything = entries("all")
    assert len(everything) > 1
    scores = sorted((entry["score"] for entry in everything), reverse=True)
    assert [entry["score"] for entry in entries("one", "max_tracks=1")] == scores[:1]
    assert entries("none", "min_score=1") == []
    ids = {entry["category_id"] for entry in everything}
    name = next(category.name for category in CATEGORIES if category.id in ids)
    kept = entries("named", f"categories=['{name}']")
    assert kept == [entry for entry in everything if entry["category_id"] == CATEGORIES_BY_NAME[name]]
    others = [category.name for category in CATEGORIES if category.id not in ids]
    assert entries("others", f"categories={others}") == []


CATEGORIES_BY_NAME = {category.name: category.id for category in CATEGORIES}


def test_a_folder_of_frames_takes_the_rate_it_is_given(checkpoint: Path, compiled: None, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(2):  # fewer than a clip has
        Image.fromarray(frame(number)).save(tmp_path / "frames" / f"{number}.png")
    for name, overrides, rate in (("a", [], 10), ("b", ["frames_per_second=5"], 5)):
        results = infer(checkpoint, tmp_path / "frames", tmp_path / name, *overrides)
        overlay = VideoFile(results / "overlay.mp4")
        assert (overlay.frames_per_second, len(list(overlay))) == (rate, 2)


def test_several_videos_have_their_own_pictures_and_one_that_breaks_does_not_stop_the_others(
    checkpoint: Path, compiled: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "JPEGImages").mkdir()
    videos = []
    for number, name in ((4, "good"), (6, "broken")):
        (tmp_path / "JPEGImages" / name).mkdir()
        names = [f"{name}/{k}.png" for k in range(4)]
        for k, file_name in enumerate(names):
            Image.fromarray(frame(k)).save(tmp_path / "JPEGImages" / file_name)
        videos.append({"id": number, "height": HEIGHT, "width": WIDTH, "file_names": names})
    (tmp_path / "JPEGImages" / "broken" / "2.png").write_bytes(b"")
    categories = [{"id": category.id, "name": category.name} for category in CATEGORIES]
    (tmp_path / "instances.json").write_text(json.dumps({"videos": videos, "categories": categories}))
    with pytest.raises(UserError, match="1 of 2 videos could not be read"):
        infer(checkpoint, tmp_path / "instances.json", tmp_path / "run")
    assert any("2.png" in message and "is empty" in message for message in caplog.messages)
    results = tmp_path / "run" / "results"
    assert {entry["video_id"] for entry in json.loads((results / "results.json").read_text())} == {4}
    assert {path.name for path in results.iterdir()} == {"results.json", "tracks.csv", "good"}
    assert {path.name for path in (results / "good").iterdir()} == {"report.html", "overlay.mp4", "contact_sheet.png"}
    assert {row["video"] for row in rows(results)} == {"good"}


def test_of_a_file_that_is_cut_short_the_rest_is_used_and_the_loss_is_said(
    checkpoint: Path, compiled: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "cut.mp4"
    with VideoWriter(path, 10) as writer:
        for number in range(12):
            writer.write(np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-6000])
    results = infer(checkpoint, path, tmp_path / "run")
    (said,) = [message for message in caplog.messages if "cut short" in message]
    assert f"{path} is cut short or damaged" in said
    count = len(list(VideoFile(results / "overlay.mp4")))
    assert f"{count} of its 12 frames" in said


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("categories=[persn]", "knows no persn: did you mean person? It knows person, dog, cat, traffic light"),
        ("categories=[7]", "knows no 7"),
    ],
)
def test_an_unknown_category_is_named_with_those_there_are(
    override: str, words: str, checkpoint: Path, video: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        infer(checkpoint, video, tmp_path / "run", override)
    assert words in str(error.value)


def test_a_file_that_is_no_video_is_refused_before_the_network_is_built(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"notes\.mp4 is not a video that can be read"):
        infer(checkpoint, tmp_path / "notes.mp4", tmp_path / "run")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("results.json", "results cannot be written: No space left on device; free some space"),
        ("overlay.mp4", r"No space left on device \(results.json and tracks.csv are complete\); free some space"),
    ],
)
def test_a_full_disk_is_one_sentence_that_says_what_is_safe(
    file: str, words: str, checkpoint: Path, compiled: None, video: Path, tmp_path: Path
) -> None:
    results = tmp_path / "run" / "results"
    results.mkdir(parents=True)
    (results / f".{file}").symlink_to("/dev/full")
    with pytest.raises(UserError, match=words):
        infer(checkpoint, video, tmp_path / "run")
    # The report is whole by the time a short video's last frames are written.
    safe = {"results.json", "tracks.csv", "report.html"} if file == "overlay.mp4" else set()
    assert {path.name for path in results.iterdir()} == safe


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "b"], ["a_1", "a_2", "b"]),
        (["a", "a", "a_1"], ["a_2", "a_3", "a_1"]),  # the name that is one already stays
        (["A", "a"], ["A_1", "a_2"]),  # one folder on many disks
        (["..", ".", ""], ["video_1", "video_2", "video_3"]),
        (["Stra\udcdfe"], ["Stra?e"]),  # a name of an old encoding
    ],
)
def test_videos_of_one_name_have_folders_of_their_own(names: list[str], expected: list[str]) -> None:
    assert vistr.tasks.infer._distinct(names) == expected
