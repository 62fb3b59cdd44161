"""The report of a video: what is in the file, and the page at work in a real browser."""

from __future__ import annotations

import base64
import errno
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.drawing.browser import Browser, browser
from vistr.data.segmentation import RLE, decode, encode
from vistr.drawing.overlays import track_color
from vistr.drawing.report import ReportTrack, spans, write_report
from vistr.errors import UserError

__all__ = ["browser"]
HEIGHT, WIDTH, LENGTH = 60, 96, 12


def frames(length: int = LENGTH, height: int = HEIGHT, width: int = WIDTH) -> Iterator[np.ndarray]:
    """Grey frames, each a little lighter than the one before."""
    for number in range(length):
        yield np.full((height, width, 3), 40 + 8 * (number % 20), np.uint8)


def disc(x: float, y: float, radius: float, hole: float = 0) -> RLE:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    away = (columns - x) ** 2 + (rows - y) ** 2
    return encode((away <= radius**2) & (away >= hole**2))


def tracks() -> list[ReportTrack]:
    """A ring that walks through the whole video, and a spot from frame 4 to 9 that is absent in frame 6."""
    walking = [disc(20 + 4 * k, 25, 14, hole=5) for k in range(LENGTH)]
    spot = [None if k == 2 else disc(80, 45, 9) for k in range(6)]
    return [
        ReportTrack(3, "ring </script>", 0.9, 0, walking),
        ReportTrack(5, "spot", 0.4, 4, spot),
    ]


def contents(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The facts and the frames in a page."""
    text = path.read_text(encoding="utf-8")
    scripts = re.findall(r'<script type="application/json" (.*?)>(.*?)</script>', text)
    return json.loads(scripts[0][1]), [json.loads(content) for _, content in scripts[1:]]


def picture_of(frame: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(frame["picture"]))))


def test_the_page_holds_every_frame_with_its_masks(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", frames(), tracks(), title="a video", frames_per_second=6)
    facts, kept = contents(tmp_path / "report.html")
    assert facts["numFrames"] == LENGTH
    assert facts["stride"] == 1
    assert [frame["frame"] for frame in kept] == list(range(LENGTH))
    for number in (0, 7):
        assert np.abs(picture_of(kept[number]).astype(int) - (40 + 8 * number)).max() <= 2
    assert [[mask[0] for mask in frame["masks"]] for frame in kept[3:7]] == [[0], [0, 1], [0, 1], [0]]
    assert kept[5]["masks"][1] == [1, tracks()[1].segmentations[1]["counts"].decode()]
    assert facts["tracks"][1]["spans"] == [[4, 2], [7, 3]]


def test_colors_are_those_of_the_overlays(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", frames(), tracks(), title="a video", frames_per_second=6)
    for listed in contents(tmp_path / "report.html")[0]["tracks"]:
        assert tuple(bytes.fromhex(listed["color"][1:])) == track_color(listed["id"])


def test_large_frames_and_their_masks_become_smaller_alike(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", frames(), tracks(), title="a video", frames_per_second=6, max_side=48)
    facts, kept = contents(tmp_path / "report.html")
    assert facts["size"] == [30, 48]
    assert facts["videoSize"] == [HEIGHT, WIDTH]
    assert picture_of(kept[0]).shape == (30, 48, 3)
    small = decode({"size": [30, 48], "counts": kept[2]["masks"][0][1].encode()})
    large = decode(tracks()[0].segmentations[2])
    assert np.array_equal(small, large[1::2, 1::2])


def test_a_long_video_is_thinned_out_evenly_until_it_fits(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", frames(400), tracks(), title="v", frames_per_second=6, max_megabytes=0.05)
    facts, kept = contents(tmp_path / "report.html")
    assert facts["numFrames"] == 400
    assert facts["stride"] in (4, 8, 16)
    assert [frame["frame"] for frame in kept] == list(range(0, 400, facts["stride"]))
    assert (tmp_path / "report.html").stat().st_size < 50_000 + 40_000  # the frames, and the page around them


def test_frames_are_taken_one_at_a_time(tmp_path: Path) -> None:
    """The file cannot hold on to the frames: each is the same array, changed in place."""
    buffer = np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    def changing() -> Iterator[np.ndarray]:
        for number in range(5):
            buffer[:] = 50 * number
            yield buffer

    write_report(tmp_path / "report.html", changing(), [], title="v", frames_per_second=6)
    _, kept = contents(tmp_path / "report.html")
    assert [int(picture_of(frame)[5, 5, 0]) for frame in kept] == [0, 50, 100, 150, 200]


def test_runs_of_frames_leave_out_empty_masks_and_what_lies_after_the_end() -> None:
    empty = encode(np.zeros((4, 4), bool))
    full = encode(np.ones((4, 4), bool))
    assert spans([full, full, empty, None, full, full], 2, 7) == [(2, 2), (6, 1)]
    assert spans([None, empty], 0, 2) == []


def test_what_cannot_be_a_report_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    mixed = [*frames(1), *frames(1, height=50)]
    for given, shown, message in (
        ([], [], "at least one frame"),
        (mixed, [], "frame 1 is 96x50"),
        (frames(1, height=50), tracks(), r"mask of size \[60, 96\] on frame 0"),
    ):
        with pytest.raises(ValueError, match=message):
            write_report(path, given, shown, title="v", frames_per_second=6)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"report\.html cannot be written: "):
        write_report(tmp_path / "file" / "report.html", frames(), [], title="v", frames_per_second=6)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vistr.drawing.frame_store.FrameStore.add", full)
    with pytest.raises(UserError, match=r"report\.html cannot be written: No space left"):
        write_report(tmp_path / "report.html", frames(), [], title="v", frames_per_second=6)
    assert not (tmp_path / "report.html").exists()


def test_a_fault_in_reading_the_frames_is_not_called_one_in_writing(tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from frames(1)
        raise OSError(errno.EIO, "the video is damaged")

    with pytest.raises(OSError, match="the video is damaged"):
        write_report(tmp_path / "report.html", broken(), [], title="v", frames_per_second=6)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, frames(), tracks(), title="<b>a & b</b>", frames_per_second=50)
    return path


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Browser]:
    """The report, shown; afterwards it must not have complained or asked for anything but itself."""
    browser.open(report)
    browser.wait("document.body.dataset.frame === '0'")
    yield browser
    assert browser.complaints() == []
    assert browser.requests() == [report.resolve().as_uri()]


def shown_rows(browser: Browser) -> list[str]:
    rows = "[...document.querySelectorAll('.track')].filter(row => row.offsetParent).map(row => row.dataset.id)"
    return browser.run(f"return {rows}")


def go_to(browser: Browser, frame: int) -> None:
    browser.run(
        "const scrub = document.getElementById('scrub'); scrub.value = arguments[0];"
        "scrub.dispatchEvent(new Event('input'));",
        frame,
    )
    browser.wait(f"document.body.dataset.frame === '{frame}'")


def only_masks(browser: Browser) -> None:
    for name in ("outlines", "names"):
        browser.find(f"#{name}").click()


def test_texts_are_shown_as_they_are(opened: Browser) -> None:
    assert opened.find("h1").text == "<b>a & b</b>"
    assert opened.driver.title == "<b>a & b</b>"
    assert opened.find(".track .name").text == "ring </script>"
    assert opened.find("#summary").text == "12 frames · 96\u00d760 · 50 frames/s"


def test_it_plays_through_the_frames_and_stops(opened: Browser) -> None:
    opened.find("#play").click()
    assert opened.find("#play").get_attribute("aria-label") == "Pause"
    opened.wait("Number(document.body.dataset.frame) >= 3")
    opened.find("#play").click()
    assert opened.find("#play").get_attribute("aria-label") == "Play"
    # The picture is the frame it says: its grey and its masks.
    number = int(opened.run("return document.body.dataset.frame"))
    picture = opened.drawn(".picture", HEIGHT, WIDTH)[..., :3]
    assert np.abs(picture.astype(int) - (40 + 8 * number)).max() <= 3


def test_keys_move_through_time(opened: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    for keys, frame in (((Keys.ARROW_RIGHT,), 1), ((Keys.END,), 11), ((Keys.ARROW_LEFT,), 10), ((Keys.HOME,), 0)):
        opened.press(*keys)
        opened.wait(f"document.body.dataset.frame === '{frame}'")
    opened.press(" ")
    opened.wait("document.body.classList.contains('playing') && document.body.dataset.frame > 0")
    opened.press(" ")
    opened.wait("!document.body.classList.contains('playing')")


@pytest.mark.parametrize("frame", [0, 5, 11])
def test_masks_are_drawn_where_their_codes_say(opened: Browser, frame: int) -> None:
    only_masks(opened)
    go_to(opened, frame)
    drawn = opened.drawn(".overlay", HEIGHT, WIDTH)
    for track in tracks():
        place = frame - track.first_frame
        rle = track.segmentations[place] if 0 <= place < len(track.segmentations) else None
        expected = np.zeros((HEIGHT, WIDTH), bool) if rle is None else decode(rle).astype(bool)
        # Colors come back from a premultiplied canvas, some steps off.
        color = np.abs(drawn[..., :3].astype(int) - track_color(track.id)).max(-1) < 12
        painted = color & (drawn[..., 3] > 60)
        assert np.array_equal(painted, expected), track.category


def test_the_score_slider_hides_tracks_in_list_and_picture(opened: Browser) -> None:
    only_masks(opened)
    go_to(opened, 5)
    assert shown_rows(opened) == ["3", "5"]
    assert opened.drawn(".overlay", HEIGHT, WIDTH)[45, 80, 3] > 0
    opened.run(
        "const slider = document.getElementById('threshold'); slider.value = 0.5;"
        "slider.dispatchEvent(new Event('input'));"
    )
    assert shown_rows(opened) == ["3"]
    assert opened.find("#predicted-count").text == "1 of 2"
    assert opened.drawn(".overlay", HEIGHT, WIDTH)[45, 80, 3] == 0


def test_a_click_on_a_row_follows_that_track_alone(opened: Browser) -> None:
    only_masks(opened)
    opened.find(".track[data-id='5']").click()
    opened.wait("document.body.dataset.frame === '4'")  # where it is first seen
    drawn = opened.drawn(".overlay", HEIGHT, WIDTH).astype(int)
    assert np.abs(drawn[45, 80, :3] - track_color(5)).max() < 12
    ring = decode(tracks()[0].segmentations[4]).astype(bool)
    inside = ring & np.roll(ring, 3, 0) & np.roll(ring, -3, 0) & np.roll(ring, 3, 1) & np.roll(ring, -3, 1)
    assert inside.sum() > 20
    assert drawn[inside][:, :3].max() < 40  # dimmed like everything else, not in its color
    assert opened.find(".track[data-id='5']").get_attribute("aria-pressed") == "true"
    opened.find("#all").click()
    back = opened.drawn(".overlay", HEIGHT, WIDTH).astype(int)
    assert np.abs(back[inside][:, :3] - track_color(3)).max() < 12


def test_a_click_on_an_object_in_the_picture_follows_it(opened: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    pressed = "[...document.querySelectorAll('[aria-pressed=true]')].map(row => row.dataset.id).join()"
    opened.click_at(".overlay", (20 + 9) / WIDTH, 25 / HEIGHT)  # on the ring
    opened.wait(f"{pressed} === '3'")
    opened.press(Keys.ESCAPE)
    opened.wait(f"{pressed} === ''")
    opened.click_at(".overlay", 20 / WIDTH, 25 / HEIGHT)  # in its hole
    assert opened.run(f"return {pressed}") == ""


def test_it_fits_a_phone(opened: Browser) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    opened.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        opened.wait("document.querySelector('.overlay').width > 2 * 300")
        assert opened.run("return document.documentElement.scrollWidth") == 360
    finally:
        opened.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_thinned_out_page_says_so_and_keeps_the_videos_time(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, frames(64), tracks(), title="long", frames_per_second=2, max_megabytes=0.02, max_side=48)
    facts, kept = contents(path)
    assert facts["stride"] > 1
    browser.open(path)
    browser.wait("document.body.dataset.frame === '0'")
    assert f"{len(kept)} of the video's 64 frames" in browser.find("#contents").text
    assert "48\u00d730" in browser.find("#contents").text
    browser.press("\ue014")  # arrow right
    browser.wait(f"document.body.dataset.frame === '{facts['stride']}'")
    assert f"0:{facts['stride'] / 2:04.1f}" in browser.find("#time").text


def test_predictions_and_truth_stand_beside_each_other_in_the_same_frame(browser: Browser, tmp_path: Path) -> None:
    ring, spot = tracks()
    path = tmp_path / "report.html"
    given = [ring, replace(spot, id=3, score=None, truth=True, note="missed")]
    write_report(path, frames(), given, title="both", frames_per_second=6, back="index.html")
    browser.open(path)
    browser.wait("document.body.dataset.frame === '0'")
    only_masks(browser)
    go_to(browser, 5)
    sides = [browser.drawn(f"#{side} .overlay", HEIGHT, WIDTH)[..., 3] > 60 for side in ("predicted", "truth")]
    assert np.array_equal(sides[0], decode(ring.segmentations[5]).astype(bool))
    assert np.array_equal(sides[1], decode(spot.segmentations[1]).astype(bool))
    assert browser.find("#truth-list .note").text == "missed"
    # Both carry the number 3: they are followed together.
    browser.find("#truth-list .track").click()
    assert browser.run("return document.querySelectorAll('[aria-pressed=true]').length") == 2
    assert browser.find("#back").get_attribute("href").endswith("/index.html")
    assert browser.complaints() == []


def test_scores_of_any_size_can_be_filtered(browser: Browser, tmp_path: Path) -> None:
    ring, spot = tracks()
    given = [replace(ring, score=float("inf")), replace(spot, score=-2.5)]
    write_report(tmp_path / "report.html", frames(), given, title="logits", frames_per_second=6)
    browser.open(tmp_path / "report.html")
    browser.wait("document.body.dataset.frame === '0'")
    assert shown_rows(browser) == ["3", "5"]
    assert browser.find("#threshold").get_attribute("min") == "-3"
    assert browser.complaints() == []


def test_the_slider_starts_where_it_is_told(browser: Browser, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", frames(), tracks(), title="v", frames_per_second=6, threshold=0.5)
    browser.open(tmp_path / "report.html")
    browser.wait("document.body.dataset.frame === '0'")
    assert shown_rows(browser) == ["3"]
    assert browser.find("#threshold-value").text == "0.50"


def test_a_video_in_which_nothing_was_found_says_so(browser: Browser, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", frames(), [], title="empty", frames_per_second=6)
    browser.open(tmp_path / "report.html")
    browser.wait("document.body.dataset.frame === '0'")
    assert browser.find("#nothing").text == "Nothing was found in this video."
    assert browser.complaints() == []
