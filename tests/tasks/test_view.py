"""`task=view`: pages of anyone's results beside the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.drawing.browser import Browser, browser
from vistr.config import Config, Dataset
from vistr.config.compose import load_run
from vistr.data.segmentation import encode, to_json
from vistr.errors import UserError
from vistr.evaluation.pairing import VideoPairs
from vistr.tasks.settings import View
from vistr.tasks.view import rank, run

__all__ = ["browser"]
HEIGHT, WIDTH, LENGTH = 24, 40, 3
NUM_VIDEOS = 4


def block(left: int) -> dict[str, Any]:
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[6:18, left : left + 10] = True
    return to_json(encode(pixels))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four videos with one object each, found better from the first to the last: by 0, 3, 6 and 10 of 10 columns."""
    videos, annotations, results = [], [], []
    for number, shared in enumerate((0, 3, 6, 10), 1):
        names = [f"clip_{number}/{frame:05d}.png" for frame in range(LENGTH)]
        for name in names:
            path = tmp_path / "JPEGImages" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (WIDTH, HEIGHT), (10 * number, 80, 120)).save(path)
        videos.append({"id": number, "height": HEIGHT, "width": WIDTH, "length": LENGTH, "file_names": names})
        annotations.append(
            {"id": number, "video_id": number, "category_id": 1, "segmentations": [block(5)] * LENGTH,
             "bboxes": [[5, 6, 10, 12]] * LENGTH, "areas": [120] * LENGTH, "iscrowd": 0}
        )  # fmt: skip
        moved = [block(5 + 10 - shared)] * LENGTH
        results.append({"video_id": number, "category_id": 1, "score": 0.5 + 0.1 * number, "segmentations": moved})
    content = {"videos": videos, "annotations": annotations, "categories": [{"id": 1, "name": "block"}]}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path


def config(folder: Path, images: str | None = None, **task: Any) -> Config:
    return Config(
        run_dir=str(folder / "run"),
        dataset=Dataset(images=images),
        task=View(
            annotations=str(folder / "truth.json"), results=str(folder / "results.json"), **{"min_score": 0.0, **task}
        ),
    )


def change(folder: Path, name: str, edit: Any) -> None:
    content = json.loads((folder / name).read_text())
    edit(content)
    (folder / name).write_text(json.dumps(content))


def facts(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    return json.loads(text.partition('id="facts">')[2].partition("</script>")[0])


def test_each_video_gets_a_page_and_the_index_its_score(folder: Path) -> None:
    figures = run(config(folder))
    assert figures["AP50"] == pytest.approx(0.25, abs=0.01)  # one of four reaches an overlap of 0.5
    cards = {card["name"]: card for card in facts(folder / "run/index.html")["cards"]}
    scores = [cards[f"clip_{number}"]["score"] for number in range(1, 5)]
    assert scores == pytest.approx([0, 3 / 17, 6 / 14, 1])
    assert [cards[f"clip_{n}"]["num_found"] for n in range(1, 5)] == [0, 0, 0, 1]
    for number in range(1, 5):
        page = facts(folder / "run" / cards[f"clip_{number}"]["page"])
        assert page["numFrames"] == LENGTH
        assert [track["truth"] for track in page["tracks"]] == [False, True]
        assert page["back"] == "index.html"


def test_a_limit_takes_the_worst_and_the_best_videos(folder: Path) -> None:
    run(config(folder, num_videos=3))
    pages = sorted(path.name for path in (folder / "run").glob("video_*.html"))
    assert pages == ["video_1.html", "video_2.html", "video_4.html"]
    cards = facts(folder / "run/index.html")["cards"]
    assert [card["name"] for card in cards] == ["clip_1", "clip_4", "clip_2", "clip_3"]
    assert cards[3]["page"] is None
    assert cards[3]["score"] == pytest.approx(6 / 14)


def test_videos_without_a_score_come_last() -> None:
    def pairs(video: int, *overlaps: float) -> VideoPairs:
        count = len(overlaps)
        truth: Any = [(1, None)] * count
        return VideoPairs(video, truth, truth, {k: k for k in range(count)}, np.diag(overlaps).reshape(count, count))

    ranked = rank([pairs(1), pairs(2, 0.5), pairs(3, 0.9), pairs(4, 0.2), pairs(5, 0.7)])
    assert [one.video_id for one in ranked] == [4, 3, 2, 5, 1]


def test_videos_that_the_results_do_not_name_are_left_out_and_said(folder: Path) -> None:
    change(folder, "results.json", lambda results: results.pop(0))
    run(config(folder))
    index = facts(folder / "run/index.html")
    assert [card["name"] for card in index["cards"]] == ["clip_2", "clip_4", "clip_3"]
    assert any("no entry for clip_1" in note for note in index["notes"])


def test_a_truth_without_annotations_shows_predictions_alone(folder: Path) -> None:
    change(folder, "truth.json", lambda truth: truth.pop("annotations"))
    assert run(config(folder)) == {}
    index = facts(folder / "run/index.html")
    assert [card["score"] for card in index["cards"]] == [None] * NUM_VIDEOS
    assert not any(track["truth"] for track in facts(folder / "run/video_1.html")["tracks"])


def test_low_predictions_are_left_out_and_said(folder: Path) -> None:
    change(folder, "results.json", lambda results: results[3].update(score=0.05))
    run(config(folder, min_score=0.1))
    index = facts(folder / "run/index.html")
    assert {card["name"]: card["score"] for card in index["cards"]}["clip_4"] == 0
    assert any("below 0.1" in note for note in index["notes"])


def test_frames_that_lie_elsewhere_are_named(folder: Path) -> None:
    (folder / "JPEGImages").rename(folder / "frames of mine")
    with pytest.raises(UserError, match=r"is in none of .*JPEGImages.*dataset\.images="):
        run(config(folder))
    run(config(folder, images=str(folder / "frames of mine")))
    assert (folder / "run/index.html").is_file()


def other_video(results: list[dict[str, Any]]) -> None:
    results[1]["video_id"] = 77


def unknown_category(results: list[dict[str, Any]]) -> None:
    for result in results:
        result["category_id"] = 9


MISTAKES = {
    r"results\.json: entry 1 \(video 77\) is of a video that the truth does not list": other_video,
    r"results\.json has no result to look at": list.clear,
    r"results\.json has no result to look at: .*unknown categories": unknown_category,
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_results_that_do_not_belong_to_the_truth_are_one_sentence(folder: Path, sentence: str) -> None:
    change(folder, "results.json", MISTAKES[sentence])
    with pytest.raises(UserError, match=sentence):
        run(config(folder))
    assert not (folder / "run").exists()


@pytest.mark.parametrize("name", ["results.json", "truth.json"])
def test_a_file_that_is_not_json_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("[{")
    with pytest.raises(UserError, match=rf"{name} is not JSON"):
        run(config(folder))


def test_missing_and_damaged_images_are_named(folder: Path) -> None:
    image = folder / "JPEGImages/clip_2/00001.png"
    image.write_bytes(image.read_bytes()[:60])
    with pytest.raises(UserError, match=r"00001\.png \(video 2, frame 1\)"):
        run(config(folder))
    image.unlink()
    with pytest.raises(UserError, match=r"names images that do not exist: .*00001\.png \(video 2, frame 1\)"):
        run(config(folder))


def test_the_index_lists_the_worst_first_and_leads_to_the_pages(browser: Browser, folder: Path) -> None:
    run(config(folder, num_videos=3))
    browser.open(folder / "run/index.html")
    names = "[...document.querySelectorAll('.card .name')].map(name => name.textContent).join(' ')"
    browser.wait(f"{names} === 'clip_1 clip_2 clip_4'")
    assert browser.find("#shown").text == "The worst 2 and the best 1 of 4 videos"
    assert browser.find(".card .small").text == "0 of 1 object found, 1 prediction"
    assert browser.run("return [...document.images].every(image => image.complete && image.naturalWidth === 320)")
    browser.run("const order = document.getElementById('order'); order.value = 'best';"
                "order.dispatchEvent(new Event('change'));")  # fmt: skip
    assert browser.run(f"return {names}") == "clip_4 clip_2 clip_1"
    assert browser.complaints() == []
    assert browser.requests() == [(folder / "run/index.html").as_uri()]
    browser.find(".card").click()
    browser.wait("document.body.dataset.frame === '0'")
    assert browser.find("h1").text == "clip_4"
    assert browser.find("#truth-list .note").text == "found, overlap 1.00"
    browser.find("#back").click()
    browser.wait(f"{names} === 'clip_1 clip_2 clip_4'")


def write_pictures(folder: Path) -> list[str]:
    """Two pictures with one object each, as COCO has them; the overrides that name them."""
    images = [{"id": n, "file_name": f"{n}.png", "height": 48, "width": 64} for n in (1, 2)]
    for image in images:
        Image.new("RGB", (64, 48), (40 * image["id"], 90, 30)).save(folder / image["file_name"])
    square = [[10, 10, 40, 10, 40, 40, 10, 40]]
    annotations = [{"id": n, "image_id": n, "category_id": 1, "segmentation": square} for n in (1, 2)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cup"}]}
    (folder / "coco.json").write_text(json.dumps(content))
    files = [f"dataset.annotations={folder / 'coco.json'}", f"dataset.images={folder}"]
    return ["task=view", "dataset=coco", *files, "dataset.holdout=0", "num_frames=3", "dataset/augmentation=light"]


def test_without_results_the_clips_of_a_training_are_drawn(tmp_path: Path) -> None:
    loaded, _ = load_run([*write_pictures(tmp_path), "dataset.short_side=48", "dataset.long_side=64"])
    for name in ("first", "second"):
        loaded.run_dir = str(tmp_path / name)
        (tmp_path / name).mkdir()
        assert run(loaded) == {}
    first, second = (sorted((tmp_path / name).glob("clip_*.png")) for name in ("first", "second"))
    assert [path.name for path in first] == ["clip_0001.png", "clip_0002.png"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["task=view"], "task=view needs annotations=, the annotation file with the truth"),
        (["task=view", "dataset=coco"], "dataset=coco needs dataset.root=, the folder coco lies in"),
        (["task=view", "dataset=coco", "dataset.root=nowhere"], "dataset.root=.*nowhere: there is no such folder"),
        (["task=view", "dataset=coco", "results=x.json"], "task=view needs annotations="),
    ],
)
def test_what_is_to_be_drawn_has_to_be_named(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load_run(overrides)
