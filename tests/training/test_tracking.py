"""What a run records: TensorBoard reads it back, and a resume leaves no duplicates."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler

from vistr.training.tracking import Tracker, drop_rows_after


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def train(tracker: Tracker, first: int, last: int, scale: float = 1.0) -> None:
    for step in range(first, last + 1):
        tracker.scalars(step, {"loss": scale * step, "learning_rate": 1e-4}, "train", epoch=1)


def hparams_view(logdir: Path) -> tuple[api_pb2.Experiment, list[api_pb2.SessionGroup]]:
    """What TensorBoard's HParams page shows of a folder of runs."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(logdir))
    context = Context(TBContext(data_provider=provider, multiplexer=multiplexer))
    request_context = RequestContext()
    metadata = context.hparams_metadata(request_context, "")
    experiment = context.experiment_from_metadata(request_context, "", True, metadata, [])
    statuses = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_RUNNING]
    request = api_pb2.ListSessionGroupsRequest(allowed_statuses=statuses, start_index=0, slice_size=100)
    groups = Handler(request_context, context, "", request).run().session_groups
    return experiment, list(groups)


def test_scalars_are_rows_and_tensorboard_scalars_under_the_same_tags(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        train(tracker, 1, 3)
        tracker.scalars(3, {"AP": 0.25, "AP50": 0.5}, "eval", epoch=1)
    assert rows(tmp_path)[0] == {"step": 1, "epoch": 1, "kind": "train", "loss": 1.0, "learning_rate": 1e-4}
    assert rows(tmp_path)[-1] == {"step": 3, "epoch": 1, "kind": "eval", "AP": 0.25, "AP50": 0.5}
    read = events(tmp_path)
    assert set(read.Tags()["scalars"]) == {"train/loss", "train/learning_rate", "eval/AP", "eval/AP50"}
    assert [(e.step, e.value) for e in read.Scalars("train/loss")] == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_the_figures_of_a_category_have_a_section_of_their_own(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        tracker.scalars(3, {"AP": 0.25, "AP/cat": 0.5}, "eval", epoch=1)
        assert tracker.latest("eval/AP", "train/loss") == {"eval/AP": 0.25}
    assert set(events(tmp_path).Tags()["scalars"]) == {"eval/AP", "per_category/AP/cat"}
    assert rows(tmp_path)[0]["AP/cat"] == 0.5


def test_everything_is_on_the_disk_before_the_run_ends(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path)
    train(tracker, 1, 2)
    assert len(rows(tmp_path)) == 2
    assert len(events(tmp_path).Scalars("train/loss")) == 2
    tracker.close()


def test_a_value_that_is_not_finite_is_null(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        tracker.scalars(1, {"loss": float("nan"), "grad_norm": float("inf")}, "train", epoch=1)
    assert rows(tmp_path) == [{"step": 1, "epoch": 1, "kind": "train", "loss": None, "grad_norm": None}]
    assert np.isnan(events(tmp_path).Scalars("train/loss")[0].value)


def test_numpy_values_are_recorded(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        tracker.scalars(1, {"loss": np.float32(0.5), "num": np.int64(3)}, "train", epoch=1)
    assert rows(tmp_path)[0]["num"] == 3


def test_pictures_and_texts_are_read_back(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    with Tracker(tmp_path) as tracker:
        tracker.image("tracks/0", picture, step=4)
        tracker.text("config", "    num_frames: 6")
    read = events(tmp_path)
    image = read.Images("tracks/0")[0]
    assert (image.step, image.width, image.height) == (4, 30, 20)
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert read.Tensors("config")[0].tensor_proto.string_val[0] == b"    num_frames: 6"


def test_a_resumed_run_has_no_duplicates(tmp_path: Path) -> None:
    interrupted = Tracker(tmp_path)
    train(interrupted, 1, 9)
    interrupted.image("tracks/0", np.zeros((4, 4, 3), np.uint8), step=8)
    interrupted.close()
    with Tracker(tmp_path, resume_step=6) as tracker:
        train(tracker, 7, 8, scale=10)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row["loss"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5, 6, 70, 80]
    read = events(tmp_path)
    assert [e.value for e in read.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6, 70, 80]
    assert read.Images("tracks/0") == []


def test_an_evaluation_that_is_made_again_stands_once(tmp_path: Path) -> None:
    with Tracker(tmp_path) as interrupted:
        train(interrupted, 1, 3)
        interrupted.scalars(3, {"AP": 0.5, "AP/cat": 0.5}, "eval", epoch=1)
        interrupted.scalars(3, {"AP": 0.25}, "ema", epoch=1)
    with Tracker(tmp_path, resume_step=3, evaluated=False) as tracker:
        tracker.scalars(3, {"AP": 0.75}, "eval", epoch=1)
        train(tracker, 4, 4)
    assert [(row["step"], row["kind"]) for row in rows(tmp_path)] == [
        (1, "train"), (2, "train"), (3, "train"), (3, "eval"), (4, "train"),
    ]  # fmt: skip
    read = events(tmp_path)
    assert [(e.step, e.value) for e in read.Scalars("train/loss")] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]
    assert [(e.step, e.value) for e in read.Scalars("eval/AP")] == [(3, 0.75)]
    with Tracker(tmp_path, resume_step=3) as tracker:
        train(tracker, 4, 4)
    assert rows(tmp_path)[3]["AP"] == 0.75


def test_figures_that_stand_there_are_not_recorded_again_when_a_finished_run_is_resumed(tmp_path: Path) -> None:
    for resumed in (False, True):
        with Tracker(tmp_path, resume_step=3 if resumed else None) as tracker:
            if not resumed:
                train(tracker, 1, 3)
                tracker.scalars(3, {"AP": 0.5, "AP/cat": 0.25}, "eval", epoch=1)
                tracker.scalars(3, {"AP": 0.75}, "ema", epoch=1)
            tracker.hparams({"a": 1}, {"eval/AP": 0.5, "ema/AP": 0.75, **tracker.latest("train/loss")})
    read = events(tmp_path)
    for tag, value in (("eval/AP", 0.5), ("ema/AP", 0.75), ("train/loss", 3.0), ("per_category/AP/cat", 0.25)):
        assert [(e.step, e.value) for e in read.Scalars(tag)][-1:] == [(3, value)]
        assert [e.step for e in read.Scalars(tag)].count(3) == 1


def test_a_clock_that_was_set_back_does_not_hide_what_a_resume_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tracker(tmp_path) as tracker:
        train(tracker, 1, 4)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 86400)
    with Tracker(tmp_path, resume_step=3) as tracker:
        train(tracker, 4, 6, scale=10)
    assert [e.value for e in events(tmp_path).Scalars("train/loss")] == [1, 2, 3, 40, 50, 60]


def test_a_run_that_starts_over_in_its_folder_forgets_what_was_there(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        train(tracker, 1, 5)
    with Tracker(tmp_path) as tracker:
        train(tracker, 1, 2, scale=10)
    assert [row["loss"] for row in rows(tmp_path)] == [10, 20]
    assert [e.value for e in events(tmp_path).Scalars("train/loss")] == [10, 20]


def test_a_row_cut_short_by_a_crash_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "loss": 1}\n{"step": 2, "loss": 2}\n{"step": 3, "lo')
    drop_rows_after(file, 3)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_run_goes_on_whatever_happened_to_its_log(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    good = b'{"step": 1, "loss": 1}'
    file.write_bytes(b"\n".join([good, b'{"loss": 2}', b'[1, {"step": 1}]', b"\xff\xfe", b"3", good]))
    drop_rows_after(file, 1)
    assert file.read_bytes() == good + b"\n" + good + b"\n"


def test_a_full_disk_is_said_once_and_the_records_go_on_when_there_is_room(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def run() -> None:
        with Tracker(tmp_path) as tracker:
            train(tracker, 1, 2)
            resource.setrlimit(resource.RLIMIT_FSIZE, (len((tmp_path / "metrics.jsonl").read_bytes()) + 20, limits[1]))
            train(tracker, 3, 3)

    try:
        with pytest.raises(OSError, match="File too large") as error:
            run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.__context__ is None
    with Tracker(tmp_path, resume_step=2) as tracker:
        train(tracker, 3, 4)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4]
    assert [event.step for event in events(tmp_path).Scalars("train/loss")] == [1, 2, 3, 4]


def test_hparams_stay_in_the_runs_own_folder(tmp_path: Path) -> None:
    with Tracker(tmp_path / "run") as tracker:
        train(tracker, 1, 2)
        tracker.hparams({"backbone": "r50"}, {"eval/AP": 0.3})
    assert not [path for path in (tmp_path / "run").iterdir() if path.is_dir()]
    assert len(list((tmp_path / "run").glob("events.*"))) == 1


def test_hparams_show_one_row_a_run_with_its_overrides_and_final_metrics(tmp_path: Path) -> None:
    overrides: dict[str, dict[str, Any]] = {
        "a": {"backbone": "r50", "num_frames": 18, "dilation": True},
        "b": {"backbone": "r101", "num_frames": 36, "crop": (1, 2)},
    }
    for number, (name, params) in enumerate(overrides.items()):
        with Tracker(tmp_path / name) as tracker:
            tracker.hparams(params, {})
            train(tracker, 1, 2)
            tracker.scalars(2, {"AP": 0.1 * number}, "eval", epoch=1)
            tracker.hparams(params, {"eval/AP": 0.1 * number, "eval/FPS": 7.0})
    experiment, groups = hparams_view(tmp_path)
    names = {info.name: info.differs for info in experiment.hparam_infos}
    assert names == {"backbone": True, "num_frames": True, "dilation": False, "crop": False}
    assert sorted(group.name for group in groups) == ["a", "b"]
    for group in groups:
        assert len(group.sessions) == 1
        assert group.sessions[0].status == api_pb2.STATUS_SUCCESS
        shown = {value.name.tag: value.value for value in group.metric_values}
        assert shown["eval/AP"] == pytest.approx(0.1 * (group.name == "b"))
        assert shown["eval/FPS"] == 7.0
    assert {g.name: g.hparams["backbone"].string_value for g in groups} == {"a": "r50", "b": "r101"}
    assert len(events(tmp_path / "a").Scalars("eval/AP")) == 1  # not written twice


def test_a_run_going_on_is_listed(tmp_path: Path) -> None:
    with Tracker(tmp_path / "run") as tracker:
        tracker.hparams({"backbone": "r50"}, {})
        _, groups = hparams_view(tmp_path)
    assert [group.name for group in groups] == ["run"]
    assert groups[0].sessions[0].status != api_pb2.STATUS_SUCCESS
