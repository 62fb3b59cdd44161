"""The training loop: it goes on exactly where it stopped, and stops where there is nothing to go on from."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tests import tiny
from vistr.config import Config, Device
from vistr.data.clip_sources import ClipSource, VideoClips
from vistr.data.clips import Batch
from vistr.data.layouts import find_layout
from vistr.data.loader import ClipLoader
from vistr.data.mixture import Mixture
from vistr.data.settings import Augmentation
from vistr.data.shapes import write_shapes
from vistr.data.videos import Video, VideoSet
from vistr.data.ytvis import read_ytvis
from vistr.errors import UserError
from vistr.layers.parameters import set_value
from vistr.models.build import build_model
from vistr.models.vistr import VisTR
from vistr.runtime.device import use_device
from vistr.runtime.parallel import Ranks
from vistr.tasks.settings import Train
from vistr.training.optimizer import AdamW
from vistr.training.settings import Optimizer, StepSchedule, Training
from vistr.training.step import StepResult, TrainingStep
from vistr.training.tracking import Kind, Silent, Tracker
from vistr.training.trainer import Trainer, is_ended
from vistr.weights.checkpoint import Metadata, TrainingState, load_weights, read_checkpoint

# Six clips in batches of one, two a step: three steps an epoch.
CONFIG = tiny.config(
    seed=3,
    dropout=0.1,
    training=Training(epochs=2, accumulation_steps=2),
    optimizer=Optimizer(1e-3, 1e-4),
    schedule=StepSchedule(drop_epoch=1, warmup_steps=2),
    task=Train(log_every=2, save_minutes=60),
)
STEPS_AN_EPOCH, NUM_STEPS = 3, 6
SLOW_FIXTURES = ("setup",)  # its network is compiled


def changed(section: str, **values: Any) -> Config:
    """CONFIG with other values in a section."""
    return replace(CONFIG, **{section: replace(getattr(CONFIG, section), **values)})


class Crash(Exception):
    """The process dies."""


class Recorder(Tracker):
    """A tracker at whose steps something happens."""

    def __init__(self, folder: Path, state: TrainingState | None, events: Mapping[int, Callable[[], None]]) -> None:
        if state is None:
            super().__init__(folder)
        else:
            super().__init__(folder, resume_step=state.step, evaluated=is_ended(state))
        self.stepped = events

    def scalars(self, step: int, values: Mapping[str, float], kind: Kind, *, epoch: int) -> None:
        super().scalars(step, values, kind, epoch=epoch)
        if step in self.stepped:
            self.stepped[step]()


def stop() -> None:
    signal.raise_signal(signal.SIGTERM)


def crash() -> None:
    raise Crash


def crash_at_second() -> Callable[[], None]:
    """Crashes at the second row of a step, the evaluation's."""
    calls = iter((lambda: None, crash))
    return lambda: next(calls)()


@dataclass
class Setup:
    """Everything that is dear to make, shared by all runs."""

    videos: VideoSet
    model: VisTR
    step: TrainingStep
    optimizer: AdamW
    weights: dict[str, np.ndarray]

    def forget(self) -> None:
        """Neither weights nor moments nor the count of updates survive."""
        for parameter in self.model.get_parameters():
            set_value(parameter, np.full(parameter.shape, 9, np.float32))
        state = {name: np.full_like(value, 9) for name, value in self.optimizer.state().items()}
        self.optimizer.load_state(state)

    def start(self) -> None:
        """The weights and moments of a new run."""
        for parameter in self.model.get_parameters():
            set_value(parameter, self.weights[parameter.name])
        self.optimizer.load_state({n: np.zeros_like(v) for n, v in self.optimizer.state().items()})

    def run(
        self,
        folder: Path,
        config: Config = CONFIG,
        *,
        resume: bool = False,
        figures: Mapping[int, float] | None = None,
        events: Mapping[int, Callable[[], None]] | None = None,
        loader: ClipLoader | None = None,
    ) -> dict[str, float]:
        """Train in `folder`; events {3: stop} stop it after step 3."""
        metadata = Metadata({"seed": 7}, list(self.videos.categories))
        self.start()
        if resume:
            self.forget()
            checkpoint = read_checkpoint(folder)
            load_weights(self.model, checkpoint)
            self.optimizer.load_state(checkpoint.optimizer)
            metadata = checkpoint.metadata
        with Recorder(folder, metadata.state if resume else None, events or {}) as tracker:

            def evaluate(step: int, epoch: int) -> dict[str, float]:
                ap = {"AP": (figures or {}).get(epoch, 0.5)}
                tracker.scalars(step, ap, "eval", epoch=epoch)
                return ap | {"ema_AP": 0.75 - ap["AP"]}

            return self.trainer(
                folder, loader or self.loader(), config, metadata, tracker=tracker, evaluate=evaluate
            ).run()

    def loader(self, shard: tuple[int, int] = (0, 1), *, mixed: bool = False) -> ClipLoader:
        """The clips, one a batch; or a mixture of those of each video."""
        if mixed:
            parts = {f"part{i}": self.clips(video) for i, video in enumerate(self.videos.videos)}
            return self.loading(Mixture(parts, [2, 1], seed=5, epoch_clips=6), shard)
        return self.loading(self.clips(*self.videos.videos), shard)

    def loading(self, clips: ClipSource, shard: tuple[int, int]) -> ClipLoader:
        return ClipLoader(clips, batch_size=1, seed=5, num_workers=2, shuffle=True, shard=shard)

    def clips(self, *videos: Video) -> ClipSource:
        return VideoClips(
            replace(self.videos, videos=videos),
            num_frames=tiny.NUM_FRAMES,
            augmentation=Augmentation(resize_short=[], crop_resize_short=[]),
            short_side=tiny.HEIGHT,
            long_side=tiny.WIDTH,
            size_divisor=32,
        )

    def trainer(
        self,
        folder: Path,
        loader: ClipLoader,
        config: Config,
        metadata: Metadata | TrainingState,
        ranks: Ranks | None = None,
        *,
        tracker: Tracker | None = None,
        evaluate: Callable[[int, int], dict[str, float]] = lambda step, epoch: {},
    ) -> Trainer:
        """A trainer that goes on from a state."""
        if isinstance(metadata, TrainingState):
            metadata = Metadata({"seed": 7}, list(self.videos.categories), metadata)
        return Trainer(
            config,
            model=self.model,
            step=self.step,
            optimizer=self.optimizer,
            loader=loader,
            tracker=tracker or Silent(),
            metadata=metadata,
            folder=folder,
            device="CPU",
            evaluate=evaluate,
            ranks=ranks,
        )


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    use_device("cpu")
    size = {"height": tiny.HEIGHT, "width": tiny.WIDTH, "max_objects": 1}
    folder = write_shapes(tmp_path_factory.mktemp("shapes"), num_videos=2, num_frames=3, seed=0, **size)
    videos = read_ytvis(*find_layout("shapes", folder, "train"))
    model = build_model(tiny.config(num_instances=2, num_decoder_layers=1), len(videos.categories))
    step = tiny.training_step(model)
    optimizer = AdamW(step.parameters, Optimizer(weight_decay=1e-4, clip_norm=0.1), ema=0.5)
    return Setup(videos, model, step, optimizer, {p.name: p.asnumpy().copy() for p in model.get_parameters()})


def rows(folder: Path) -> list[dict[str, Any]]:
    """What was recorded of every step and evaluation, but for times and memory."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    measured = ("seconds_", "clips_per_second", "memory_gb")
    return [{k: v for k, v in json.loads(line).items() if not k.startswith(measured)} for line in lines]


@pytest.fixture(scope="module")
def whole(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    setup.run(folder)
    return folder


def assert_same_run(folder: Path, whole: Path) -> None:
    """Step by step the same records, and in the end the same weights and moments."""
    assert rows(folder) == rows(whole)
    ours, theirs = read_checkpoint(folder), read_checkpoint(whole)
    for mine, other in ((ours.model, theirs.model), (ours.optimizer, theirs.optimizer)):
        assert mine.keys() == other.keys()
        for name, value in mine.items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)
    assert ours.metadata.state == theirs.metadata.state


def assert_same_files(folder: Path, whole: Path) -> None:
    """The same checkpoints, each with the same arrays, state and figures."""
    names, others = (sorted(path.name for path in (one / "checkpoints").iterdir()) for one in (folder, whole))
    assert names == others
    for name in names:
        ours, theirs = (read_checkpoint(one / "checkpoints" / name) for one in (folder, whole))
        assert ours.metadata == theirs.metadata, name
        for mine, other in ((ours.model, theirs.model), (ours.optimizer, theirs.optimizer)):
            assert mine.keys() == other.keys(), name
            assert all(np.array_equal(value, other[key]) for key, value in mine.items()), name


def test_every_step_and_evaluation_is_recorded(whole: Path) -> None:
    records = rows(whole)
    kinds = ["train"] * 3 + ["eval"] + ["train"] * 3 + ["eval"]
    assert [row["kind"] for row in records] == kinds
    assert [row["step"] for row in records] == [1, 2, 3, 3, 4, 5, 6, 6]
    assert [row["epoch"] for row in records] == [1] * 4 + [2] * 4
    rates = [row["learning_rate"] for row in records if row["kind"] == "train"]
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4])
    losses = [row["loss"] for row in records if row["kind"] == "train"]
    assert len(set(losses)) == NUM_STEPS
    assert sum(losses[3:]) < sum(losses[:3])


@pytest.mark.parametrize("last", [2, 3, 6])
def test_a_run_that_was_asked_to_stop_goes_on_exactly(setup: Setup, tmp_path: Path, whole: Path, last: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        setup.run(tmp_path, events={last: stop})
    assert read_checkpoint(tmp_path).metadata.state.step == last
    setup.run(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_a_mixture_goes_on_inside_an_epoch_byte_by_byte_with_the_figures_of_its_sources(
    setup: Setup, tmp_path: Path
) -> None:
    folders = tmp_path / "whole", tmp_path / "stopped"
    setup.run(folders[0], loader=setup.loader(mixed=True))
    with pytest.raises(KeyboardInterrupt):
        setup.run(folders[1], events={5: stop}, loader=setup.loader(mixed=True))
    setup.run(folders[1], resume=True, loader=setup.loader(mixed=True))
    assert_same_run(folders[1], folders[0])
    train = [row for row in rows(folders[0]) if row["kind"] == "train"]
    assert [train[i][f"source/part{part}/clips"] for i in (2, 5) for part in (0, 1)] == [4, 2, 8, 4]
    for before, row in zip([{}, *train], train, strict=False):
        counts = [row[f"source/part{i}/clips"] - before.get(f"source/part{i}/clips", 0) for i in (0, 1)]
        losses = [row.get(f"source/part{i}/loss", 0) for i in (0, 1)]
        assert np.dot(counts, losses) / 2 == pytest.approx(row["loss"])


def test_a_run_that_crashed_goes_on_from_its_last_checkpoint(setup: Setup, tmp_path: Path, whole: Path) -> None:
    with pytest.raises(Crash):
        setup.run(tmp_path, events={5: crash})
    assert read_checkpoint(tmp_path).metadata.state.step == STEPS_AN_EPOCH
    setup.run(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


def test_a_run_saves_as_often_as_it_is_told(setup: Setup, tmp_path: Path, whole: Path) -> None:
    with pytest.raises(Crash):
        setup.run(tmp_path, changed("task", save_minutes=0), events={5: crash})
    assert read_checkpoint(tmp_path).metadata.state.step == 4
    setup.run(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)


# What the end of the first epoch does, in its order.
END = ("save last", "evaluate", "save best", "save_average best_ema", "save_average last_ema", "save epoch_001")


@pytest.mark.parametrize("victim", ["save last", "evaluate", "save_average last_ema", "save last again"])
def test_what_a_crash_interrupts_at_an_epochs_end_is_made_again(
    setup: Setup, tmp_path: Path, whole: Path, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def crashing(name: str) -> Callable[..., None]:
        good = getattr(Trainer, name)

        def call(self: Trainer, file: str) -> None:
            what = f"{name} {file}" + (" again" if file == "last" and "save last" in done else "")
            if what == victim:
                raise Crash
            good(self, file)
            done.append(what)

        return call

    events = {STEPS_AN_EPOCH: crash_at_second()} if victim == "evaluate" else None
    with monkeypatch.context() as patched:
        for name in ("save", "save_average"):
            patched.setattr(Trainer, name, crashing(name))
        with pytest.raises(Crash):
            setup.run(tmp_path, events=events)
    assert done == [one for one in END if one != "evaluate"][: len(done)]
    # Once an evaluation has begun there is something to go on from.
    resumable = "save last" in done
    assert (tmp_path / "checkpoints/last.safetensors").exists() == resumable
    setup.run(tmp_path, resume=resumable)
    assert_same_run(tmp_path, whole)
    assert_same_files(tmp_path, whole)


def test_a_run_goes_on_inside_an_epoch_with_another_number_of_ranks(setup: Setup, tmp_path: Path) -> None:
    seen = []
    for position, (rank, size) in enumerate([(0, 1), (0, 2), (1, 2)]):
        state = TrainingState(epoch=1, step_in_epoch=1, step=4, num_ranks=2, clips_in_epoch=2)
        loader = setup.loader(shard=(rank, size))
        trainer = setup.trainer(tmp_path / str(position), loader, CONFIG, state, Ranks(rank, size))
        # Four clips are left of the epoch: two steps of two clips, or one in which both ranks have two.
        assert trainer.total_steps - state.step == {1: 2, 2: 1}[size]
        assert state.num_ranks == size
        seen.append([t.frames[-1] + 10 * t.video_id for b in loader.epoch(1, 2) for t in b.targets])
    alone, first, second = seen
    assert len(alone) == 4
    assert alone[::2] == first
    assert alone[1::2] == second


def test_an_older_checkpoint_counted_steps_not_clips(setup: Setup, tmp_path: Path) -> None:
    state = TrainingState(epoch=1, step_in_epoch=1, step=4, num_ranks=2)
    setup.trainer(tmp_path, setup.loader(), CONFIG, state, Ranks())
    assert state.clips_in_epoch == 4


def test_a_run_that_ended_early_can_be_prolonged(setup: Setup, tmp_path: Path, whole: Path) -> None:
    setup.run(tmp_path, changed("training", max_steps=4))
    assert [row["step"] for row in rows(tmp_path) if row["kind"] == "eval"] == [3, 4]
    setup.run(tmp_path, resume=True)
    train = [row for row in rows(tmp_path) if row["kind"] == "train"]
    assert train == [row for row in rows(whole) if row["kind"] == "train"]


def test_dropout_follows_the_seed(setup: Setup, tmp_path: Path, whole: Path) -> None:
    setup.run(tmp_path, replace(changed("training", max_steps=1), seed=4))
    assert rows(tmp_path)[0]["loss"] != rows(whole)[0]["loss"]


def test_last_best_and_every_epoch_are_kept(setup: Setup, tmp_path: Path) -> None:
    figures = setup.run(tmp_path, figures={1: 0.5, 2: 0.25})
    assert figures == {"AP": 0.25, "ema_AP": 0.5}
    files = (tmp_path / "checkpoints").iterdir()
    checkpoints = {path.stem: read_checkpoint(path).metadata for path in files}
    assert {name: m.state.step for name, m in checkpoints.items()} == {
        "best": 3, "last": 6, "epoch_001": 3, "epoch_002": 6, "best_ema": 6, "last_ema": 6,
    }  # fmt: skip
    assert checkpoints["last"].metrics == {"AP": 0.25, "ema_AP": 0.5}
    assert checkpoints["best"].metrics == {"AP": 0.5, "ema_AP": 0.25}
    assert checkpoints["last_ema"].metrics == {"AP": 0.5}
    assert (checkpoints["last"].state.best, checkpoints["last"].state.best_ema) == (0.5, 0.5)
    assert checkpoints["last"].config == {"seed": 7}


def test_the_averaged_weights_are_saved_beside_the_others(whole: Path) -> None:
    last, averaged = (read_checkpoint(whole / "checkpoints" / f"{name}.safetensors") for name in ("last", "last_ema"))
    trained = {name.removeprefix("average."): v for name, v in last.optimizer.items() if name.startswith("average.")}
    assert trained
    for name, value in averaged.model.items():
        np.testing.assert_array_equal(value, trained.get(name, last.model[name]), err_msg=name)
    assert any(not np.array_equal(value, last.model[name]) for name, value in trained.items())
    assert averaged.optimizer == {}
    assert "training.ema=0.5" in averaged.metadata.origin


def test_a_loss_that_is_not_finite_names_the_clips_and_keeps_the_checkpoint(setup: Setup, tmp_path: Path) -> None:
    def spoil() -> None:
        bias = setup.model.detector.class_embed.bias
        set_value(bias, np.full(bias.shape, np.nan, np.float32))

    with pytest.raises(UserError, match="the loss is nan at step 5 of epoch 2, on video") as error:
        setup.run(tmp_path, events={4: spoil})
    message = str(error.value)
    last = tmp_path / "checkpoints" / "last.safetensors"
    assert f"the last good checkpoint is {last}" in message
    assert message.count("video ") == 2
    assert message.count(", frames ") == 2
    assert read_checkpoint(last).metadata.state.step == STEPS_AN_EPOCH
    assert all(np.isfinite(value).all() for value in read_checkpoint(last).model.values())
    assert rows(tmp_path)[-1]["step"] == 4


def test_an_overflow_of_half_precision_updates_nothing_and_the_run_goes_on(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, scales = TrainingStep.__call__, []

    def spoiled(self: TrainingStep, *inputs: Any) -> StepResult:
        result = good(self, *inputs)
        scales.append(inputs[-1])
        return replace(result, gradients=tuple(g * np.inf for g in result.gradients)) if len(scales) == 2 else result

    monkeypatch.setattr(TrainingStep, "__call__", spoiled)
    setup.run(tmp_path, replace(changed("training", max_steps=3), device=Device(precision="fp16")))
    # Two batches a step: the first step overflows, the others go on at half the scale.
    assert scales == [65536] * 2 + [32768] * 4
    train = [row for row in rows(tmp_path) if row["kind"] == "train"]
    assert [row["loss_scale"] for row in train] == [65536, 32768, 32768]
    assert [row["grad_norm"] is None for row in train] == [True, False, False]
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.metadata.state.loss_scale == 32768
    assert int(checkpoint.optimizer["num_updates"]) == 2


def test_a_gradient_that_is_not_finite_stops_too(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = TrainingStep.__call__

    def spoiled(self: TrainingStep, *inputs: Any) -> StepResult:
        result = good(self, *inputs)
        return replace(result, gradients=tuple(g * np.inf for g in result.gradients))

    monkeypatch.setattr(TrainingStep, "__call__", spoiled)
    with pytest.raises(UserError, match="the gradient norm is nan at step 1 of epoch 1, on video") as error:
        setup.run(tmp_path)
    assert "no checkpoint had been written yet" in str(error.value)
    assert not list(tmp_path.glob("**/*.safetensors"))


def test_the_frames_of_a_clip_are_named_in_order(tmp_path: Path) -> None:
    """A short video fills its clip back and forth; the sentence says which frames, not which came last."""
    stub = SimpleNamespace(
        ranks=Ranks(),
        folder=tmp_path,
        state=SimpleNamespace(step=0, epoch=0),
        scale=SimpleNamespace(dynamic=False),
    )
    batch = SimpleNamespace(targets=[SimpleNamespace(video_id=7, source="", frames=[1, 2, 1, 0])])
    said = Trainer.explain_not_finite(cast(Trainer, stub), [cast(Batch, batch)], "loss", float("nan"))
    assert "video 7, frames 0 to 2" in said
