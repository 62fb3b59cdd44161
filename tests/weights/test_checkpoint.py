"""Checkpoints: what goes in comes out, and what is none is named."""

from __future__ import annotations

import json
import logging
import os
import resource
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tests import tiny
from tests.numeric import random
from vistr.config.compose import from_dict, to_dict
from vistr.data.videos import Category
from vistr.errors import UserError
from vistr.layers.linear import Linear
from vistr.weights.checkpoint import (
    Metadata,
    TrainingState,
    checkpoint_to_resume,
    load_weights,
    network_of,
    read_checkpoint,
    save_checkpoint,
    write_arrays,
)
from vistr.weights.checksums import crc32

pytestmark = pytest.mark.usefixtures("cpu")

OPTIMIZER = {"first.weight": random(3, 4, 5), "num_updates": np.array(12)}


@pytest.fixture
def metadata() -> Metadata:
    return Metadata(
        {"num_frames": 5, "backbone": {"name": "r18"}},
        [Category(3, "cat"), Category(8, "dog")],
        TrainingState(epoch=2, step_in_epoch=7, step=31, best=0.25),
        {"AP": 0.2, "AP50": -1.0},
    )


@pytest.fixture
def model() -> Linear:
    return Linear(5, 4)


@pytest.fixture
def path(tmp_path: Path, model: Linear, metadata: Metadata) -> Path:
    """A checkpoint that has been written."""
    path = tmp_path / "run" / "checkpoints" / "last.safetensors"
    save_checkpoint(path, model, metadata, OPTIMIZER)
    return path


def complaint(error: pytest.ExceptionInfo[UserError], path: Path) -> str:
    """The error's message, which must be one line that names the file."""
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_checkpoint_gives_back_all_of_it(path: Path, model: Linear, metadata: Metadata) -> None:
    checkpoint = read_checkpoint(path)
    assert asdict(checkpoint.metadata) == asdict(metadata)
    assert checkpoint.metadata.categories == metadata.categories
    assert checkpoint.optimizer.keys() == OPTIMIZER.keys()
    for name, value in OPTIMIZER.items():
        np.testing.assert_array_equal(checkpoint.optimizer[name], value, strict=True)
    other = Linear(5, 4)
    load_weights(other, checkpoint)
    for ours, theirs in zip(other.get_parameters(), model.get_parameters(), strict=True):
        np.testing.assert_array_equal(ours.asnumpy(), theirs.asnumpy())


def test_a_run_folder_stands_for_its_last_checkpoint(path: Path) -> None:
    assert read_checkpoint(path.parents[1]).path == path


def test_a_checkpoint_replaces_the_one_before(path: Path, model: Linear, metadata: Metadata) -> None:
    model.bias.set_data(Tensor(random(1, 4)))
    save_checkpoint(path, model, metadata, {})
    np.testing.assert_array_equal(read_checkpoint(path).model["bias"], random(1, 4))
    assert list(path.parent.iterdir()) == [path]


@contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond `num_bytes`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_leaves_the_old_checkpoint(path: Path, model: Linear, metadata: Metadata) -> None:
    before = path.read_bytes()
    with full_disk(100), pytest.raises(UserError, match="cannot be written") as error:
        save_checkpoint(path, model, metadata, OPTIMIZER)
    complaint(error, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_crash_before_the_last_moment_leaves_the_old_checkpoint(
    path: Path, model: Linear, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, model, metadata, OPTIMIZER)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, model: Linear, metadata: Metadata) -> None:
    (tmp_path / "checkpoints").write_text("a file where a folder should be")
    path = tmp_path / "checkpoints" / "last.safetensors"
    with pytest.raises(UserError, match="cannot be written") as error:
        save_checkpoint(path, model, metadata, OPTIMIZER)
    complaint(error, path)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(UserError, match="does not exist: name a file of weights, or a run's folder") as error:
            read_checkpoint(path)
        complaint(error, path)


@pytest.mark.parametrize("size", [4, 40, -1])
def test_a_truncated_checkpoint_is_damaged(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match="is damaged or no file of weights") as error:
        read_checkpoint(path)
    complaint(error, path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}], ids=str)
def test_a_part_of_a_network_is_sent_to_init(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "resnet.safetensors"
    save_file({"conv1.weight": random(0, 3, 3), "layer1.0.conv1.weight": random(0, 3)}, path, metadata)
    with pytest.raises(UserError, match=r"is a ResNet, not a whole VisTR: start from it with init=") as error:
        read_checkpoint(path)
    complaint(error, path)


def test_someone_elses_network_says_by_its_shapes_what_it_is(tmp_path: Path) -> None:
    theirs = tiny.model(num_frames=2, num_instances=10, sequence_head="dense")
    path = tmp_path / "vistr.safetensors"
    save_file(tiny.state_dict(theirs), path)
    checkpoint = read_checkpoint(path)
    config = from_dict(checkpoint.metadata.config)
    expected = tiny.config(num_frames=2, num_instances=10, sequence_head="dense")
    assert (config.num_frames, config.num_instances, config.sequence_head) == (2, 10, "dense")
    assert config.backbone.name == expected.backbone.name
    assert config.transformer == expected.transformer
    assert [c.name for c in checkpoint.metadata.categories] == ["class 1", "class 2", "class 3", "class 4"]
    assert "a VisTR" in checkpoint.metadata.origin
    other = tiny.build(num_frames=2, num_instances=10, sequence_head="dense")
    load_weights(other, checkpoint)
    for ours, original in zip(other.get_parameters(), theirs.get_parameters(), strict=True):
        np.testing.assert_array_equal(ours.asnumpy(), original.asnumpy(), err_msg=ours.name)


def test_queries_of_another_number_of_slots_are_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "vistr.safetensors"
    save_file(tiny.state_dict(tiny.build()), path)
    with pytest.raises(UserError, match="6 queries, which num_instances=10 does not divide"):
        read_checkpoint(path)
    assert read_checkpoint(path, num_instances=3).metadata.config["num_frames"] == 2


def test_a_network_of_fewer_frames_takes_the_first_queries(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained, path = tiny.model(num_frames=3), tmp_path / "trained.safetensors"
    save_checkpoint(path, trained, Metadata(to_dict(tiny.config(num_frames=3)), []), {})
    shorter = tiny.build(num_frames=2)
    with caplog.at_level(logging.INFO):
        load_weights(shorter, read_checkpoint(path))
    assert "trained with 3 frames, used with 2" in caplog.text
    queries = trained.detector.query_embed.asnumpy()
    np.testing.assert_array_equal(shorter.detector.query_embed.asnumpy(), queries[: 2 * tiny.NUM_INSTANCES])
    for network, exactly in ((tiny.build(num_frames=4), False), (tiny.build(num_frames=2), True)):
        with pytest.raises(UserError, match=r"detector\.query_embed differ"):
            load_weights(network, read_checkpoint(path), exactly=exactly)


OTHERS: dict[str, tuple[Callable[[], nn.Cell], str]] = {
    "another shape": (lambda: Linear(5, 3), "bias, weight differ"),
    "other names": (lambda: nn.CellList([Linear(5, 4)]), "0.bias, 0.weight, bias, weight differ"),
}


@pytest.mark.parametrize(("build", "named"), OTHERS.values(), ids=OTHERS)
def test_another_network_is_refused_and_left_alone(path: Path, build: Callable[[], nn.Cell], named: str) -> None:
    other = build()
    before = [p.asnumpy().copy() for p in other.get_parameters()]
    with pytest.raises(UserError, match=named) as error:
        load_weights(other, read_checkpoint(path))
    assert "holds another network than the one configured" in complaint(error, path)
    for parameter, value in zip(other.get_parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.asnumpy(), value)


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what a checkpoint says of itself, and leave its checksums out, as a version before them."""
    with safe_open(path, "numpy") as file:
        described = json.loads(file.metadata()["vistr"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(described)
    save_file(arrays, path, {"vistr": json.dumps(described)})


def test_a_checkpoint_without_checksums_reads_as_before(path: Path, metadata: Metadata) -> None:
    rewrite(path, lambda described: None)
    assert asdict(read_checkpoint(path).metadata) == asdict(metadata)


def test_a_checkpoint_with_the_checksums_of_an_earlier_version_is_held_against_them(
    path: Path, metadata: Metadata
) -> None:
    with safe_open(path, "numpy") as file:
        described = file.metadata()["vistr"]
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    sums = {name: crc32(name, array) for name, array in arrays.items()}
    stored = {"vistr": described, "crc32": json.dumps({"arrays": sums, "vistr": zlib.crc32(described.encode())})}
    save_file(arrays, path, stored)
    assert asdict(read_checkpoint(path).metadata) == asdict(metadata)
    save_file({name: np.asarray(array + 1) for name, array in arrays.items()}, path, stored)
    with pytest.raises(UserError, match="not what was written"):
        read_checkpoint(path)


@pytest.mark.parametrize("what", ["weight", "moment", "metadata"])
def test_one_bit_that_turned_is_found(what: str, path: Path, model: Linear) -> None:
    data = bytearray(path.read_bytes())
    mark = {"weight": model.bias.asnumpy().tobytes(), "moment": OPTIMIZER["first.weight"].tobytes(), "metadata": b"31"}
    at = data.rindex(mark[what][:8])
    data[at + len(mark[what]) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="not what was written") as error:
        read_checkpoint(path)
    complaint(error, path)


def test_values_that_are_not_finite_are_named(path: Path, model: Linear, metadata: Metadata) -> None:
    model.bias.set_data(Tensor(np.array([0, np.nan, 1, 2], np.float32)))
    save_checkpoint(path, model, metadata, OPTIMIZER)
    with pytest.raises(UserError, match=r"not finite in model\.bias"):
        read_checkpoint(path)
    model.bias.set_data(Tensor(np.full(4, 3e38, np.float32)))  # whose sum is none, though each is
    save_checkpoint(path, model, metadata, OPTIMIZER)
    read_checkpoint(path)


BENT: dict[str, Callable[[dict[str, Any]], None]] = {
    "no configuration": lambda d: d.pop("config"),
    "a configuration that is a number": lambda d: d.update(config=3),
    "a configuration that is a list": lambda d: d.update(config=["seed"]),
    "a field of a newer version": lambda d: d.update(licence="x"),
    "a newer state": lambda d: d["state"].update(seconds=3),
    "a newer category": lambda d: d["categories"][0].update(colour=3),
    "a step that is text": lambda d: d["state"].update(step="1"),
    "a step that is none": lambda d: d["state"].update(step=-1),
    "an epoch that is true": lambda d: d["state"].update(epoch=True),
    "a best that is no number": lambda d: d["state"].update(best=float("nan")),
    "a number too large": lambda d: d["metrics"].update(AP=10**400),
    "categories that are none": lambda d: d.update(categories={"a": 1}),
    "one category twice": lambda d: d.update(categories=d["categories"][:1] * 2),
    "a list": lambda d: d.update(state=[1]),
    "an environment variable": lambda d: d["config"].update(seed="${oc.env:HOME}"),
    "an unknown key": lambda d: d["config"].update(new_key=3),
}


@pytest.mark.parametrize("change", BENT.values(), ids=BENT)
def test_metadata_that_is_bent_is_one_sentence(change: Callable[[dict[str, Any]], None], path: Path) -> None:
    rewrite(path, change)
    with pytest.raises(UserError, match="damaged, or written by another version") as error:
        read_checkpoint(path)
    complaint(error, path)


def test_metadata_nested_without_end_is_one_sentence(path: Path) -> None:
    save_file({"model.x": np.zeros(1, np.float32)}, path, {"vistr": '{"config":' + "[" * 100_000})
    with pytest.raises(UserError, match="damaged") as error:
        read_checkpoint(path)
    complaint(error, path)


def test_where_the_last_checkpoint_is_damaged_another_is_named(path: Path, model: Linear, metadata: Metadata) -> None:
    earlier = path.with_name("epoch_003.safetensors")
    save_checkpoint(earlier, model, metadata, OPTIMIZER)
    save_checkpoint(path.with_name("last_ema.safetensors"), model, metadata, {})
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=f"last.safetensors +is damaged.*resume={earlier}"):
        checkpoint_to_resume(path.parents[1])
    assert checkpoint_to_resume(earlier).path == earlier
    with pytest.raises(UserError, match="holds weights alone"):
        checkpoint_to_resume(path.with_name("last_ema.safetensors"))


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_the_users_umask_is_kept(mask: int, mode: int, path: Path, model: Linear, metadata: Metadata) -> None:
    before = os.umask(mask)
    try:
        save_checkpoint(path, model, metadata, {})
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden_dim", 96 * 10**7), ("feedforward_dim", 10**12), ("num_decoder_layers", 10**9), ("hidden_dim", 0)],
)
def test_a_configuration_of_a_network_that_the_file_does_not_hold_takes_no_memory(
    key: str, value: int, path: Path, model: Linear, metadata: Metadata
) -> None:
    config = tiny.config(**{key: value})
    with pytest.raises(UserError, match="another network") as error:
        network_of(read_checkpoint(path), config)
    complaint(error, path)


def test_no_slots_are_one_sentence(path: Path) -> None:
    rewrite(path, lambda described: described["config"].update(num_instances=0))
    with pytest.raises(UserError, match="num_instances=0"):
        read_checkpoint(path)


def test_a_full_disk_is_said_in_the_systems_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("vistr.weights.checkpoint.write_safetensors", full)
    with pytest.raises(UserError, match=r"a\.safetensors cannot be written: No space left on device; free some space"):
        write_arrays(tmp_path / "a.safetensors", {}, {})
