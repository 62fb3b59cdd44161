"""A DETR trained on COCO as the start of a VisTR whose transformer is DETR's."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.special import softmax

from tests import tiny
from tests.numeric import random
from tests.padded import clip
from tests.weights.test_initial import DETR_PARTS, detr, taken
from vistr.config.compose import to_dict
from vistr.data.videos import Category
from vistr.errors import UserError
from vistr.layers.parameters import set_value
from vistr.models.build import build_model
from vistr.models.settings import Detr
from vistr.models.vistr import VisTR
from vistr.weights.checkpoint import Metadata, load_weights, read_checkpoint, save_checkpoint
from vistr.weights.detr import our_mask_head
from vistr.weights.initial import load_initial, read_initial, what_fits
from vistr.weights.names import torch_name, torch_shape

NAMES = ["lizard", "Person", "mouse", "tennis_racket"]  # a lizard is none of COCO's, nor is this mouse
PERSON, RACKET = 1, 43


def small(**changes: object) -> VisTR:
    return tiny.eager(tiny.build(kind=Detr, **changes))


@pytest.fixture(scope="module")
def network() -> VisTR:
    return small()


@pytest.fixture
def arrays(network: VisTR) -> dict[str, np.ndarray]:
    """A whole network's weights by the original's names, none of them its own."""
    return tiny.state_dict(network)


@pytest.fixture
def detector(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The file of a DETR; 100 queries, 91 numbers of classes and "no object"."""
    return {n: a for n, a in detr(arrays).items() if "temporal" not in n}


@pytest.fixture
def panoptic(arrays: dict[str, np.ndarray], detector: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The file of one with masks; 250 numbers of classes."""
    classes = {"class_embed.weight": random(3, 251, 96), "class_embed.bias": random(4, 251)}
    file = {f"detr.{n}": a for n, a in (detector | classes).items()}
    head = {n: a for n, a in arrays.items() if n.startswith(("bbox_attention.", "mask_head."))}
    head = {n.replace(".dcn.", ".lay5."): a for n, a in head.items() if "conv_offset" not in n}
    return file | head | {"mask_head.out_lay.weight": random(5, 1, 6, 3, 3), "mask_head.out_lay.bias": random(6, 1)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "detr.safetensors"


def start(network: VisTR, arrays: dict[str, np.ndarray], path: Path, names: list[str] = NAMES) -> None:
    save_file(arrays, path)
    load_initial(network, path, names)


def test_all_of_a_detector_is_taken_and_the_frames_begin_alike(
    network: VisTR,
    arrays: dict[str, np.ndarray],
    detector: dict[str, np.ndarray],
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        start(network, detector, path)
    parts = {n for n in arrays if n.startswith(DETR_PARTS)} - {"vistr.transformer.temporal_embed"}
    assert taken(network, arrays) == parts
    assert not network.detector.transformer.temporal_embed.asnumpy().any()
    assert "not used" not in caplog.text


def test_classes_of_coco_keep_their_rows(
    network: VisTR, detector: dict[str, np.ndarray], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    head = network.detector.class_embed
    drawn = [head.weight.asnumpy().copy(), head.bias.asnumpy().copy()]
    with caplog.at_level(logging.INFO):
        start(network, detector, path)
    theirs = [detector[f"class_embed.{kind}"] for kind in ("weight", "bias")]
    for ours, before, rows in zip((head.weight, head.bias), drawn, theirs, strict=True):
        np.testing.assert_array_equal(ours.asnumpy()[[0, 2, 4, 5]], rows[[0, PERSON, RACKET, 91]])
        np.testing.assert_array_equal(ours.asnumpy()[[1, 3]], before[[1, 3]])
    said = 'from COCO\'s are Person (person), tennis_racket (tennis racket), and "no object"; new are lizard, mouse'
    assert said in caplog.text


def test_the_queries_that_find_most_are_in_every_frame(
    network: VisTR, detector: dict[str, np.ndarray], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_file(detector, path)
    clips = [tiny.clip(seed, 1) for seed in range(2)] + [clip(3, (20, 40), (25, 45))]  # of another size, and padded
    with caplog.at_level(logging.INFO):
        load_initial(network, path, NAMES, clips)
    # The whole DETR: a network of one frame, all queries and COCO's 90 numbers as its classes.
    whole = tiny.eager(build_model(tiny.config(kind=Detr, num_frames=1, num_instances=100), 90))
    load_initial(whole, path)
    head = whole.detector.class_embed
    for parameter, kind in ((head.weight, "weight"), (head.bias, "bias")):
        set_value(parameter, detector[f"class_embed.{kind}"])
    found = [whole(one.frames[:, 1:2], one.padding[:, 1:2]).logits.asnumpy()[0] for one in clips]
    fires = np.mean([softmax(logits, -1)[:, [PERSON, RACKET]].sum(-1) for logits in found], 0)
    best = np.sort(np.argsort(-fires)[: tiny.NUM_INSTANCES])
    assert best.tolist() != list(range(tiny.NUM_INSTANCES))
    ours = network.detector.query_embed.asnumpy().reshape(tiny.NUM_FRAMES, tiny.NUM_INSTANCES, -1)
    np.testing.assert_array_equal(ours, np.stack([detector["query_embed.weight"][best]] * tiny.NUM_FRAMES))
    numbers = ", ".join(map(str, best))
    assert f"queries: 3 of DETR's 100 (those that find most in the first training clips, {numbers})" in caplog.text


def test_as_many_slots_as_queries_keep_them_all(detector: dict[str, np.ndarray], path: Path) -> None:
    network = small(num_frames=1, num_instances=100)
    start(network, detector, path)
    np.testing.assert_array_equal(network.detector.query_embed.asnumpy(), detector["query_embed.weight"])


def test_a_mask_head_is_taken_but_for_its_last_layer(
    network: VisTR,
    arrays: dict[str, np.ndarray],
    panoptic: dict[str, np.ndarray],
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        start(network, panoptic, path)
    parts = {n for n in arrays if n.startswith((*DETR_PARTS, "bbox_attention.", "mask_head."))}
    assert taken(network, arrays) == {n for n in parts if "conv_offset" not in n and "temporal" not in n}
    assert "not used: mask_head.out_lay.bias, mask_head.out_lay.weight" in caplog.text
    new = next(line for line in caplog.messages if "new:" in line)
    assert "insmask_head" in new


def test_what_is_converted_starts_a_network_the_same(
    network: VisTR, panoptic: dict[str, np.ndarray], path: Path, tmp_path: Path
) -> None:
    start(network, panoptic, path)
    shapes = {torch_name(p.name): torch_shape(p.name, tuple(p.shape)) for p in network.get_parameters()}
    source = read_initial(path)
    part = what_fits(source, shapes)
    assert {n for n in source.arrays if our_mask_head(n) not in part} == {
        "mask_head.out_lay.weight",
        "mask_head.out_lay.bias",
    }
    other = small()
    start(other, part, tmp_path / "part.safetensors")
    for ours, theirs in zip(other.get_parameters(), network.get_parameters(), strict=True):
        if ours.name != "detector.class_embed.weight":  # its new rows are drawn once more where they were drawn before
            np.testing.assert_array_equal(ours.asnumpy(), theirs.asnumpy(), err_msg=ours.name)


def test_a_file_without_queries_and_classes_leaves_them_new(
    network: VisTR, detector: dict[str, np.ndarray], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = network.detector.query_embed.asnumpy().copy()
    with caplog.at_level(logging.INFO):
        start(network, {n: a for n, a in detector.items() if "query" not in n and "class" not in n}, path)
    np.testing.assert_array_equal(network.detector.query_embed.asnumpy(), before)
    assert "queries and classes: the file has none, they are new" in caplog.text


@pytest.mark.parametrize(
    ("name", "shape"),
    [("query_embed.weight", (100, 95)), ("class_embed.bias", (91,)), ("class_embed.weight", (92,))],
)
def test_queries_and_classes_of_another_shape_are_refused(
    network: VisTR, detector: dict[str, np.ndarray], path: Path, name: str, shape: tuple[int, ...]
) -> None:
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    with pytest.raises(UserError, match=r"looks like a DETR, but does not fit this network in vistr\.\w+_embed"):
        start(network, detector | {name: random(0, *shape)}, path)
    for parameter in network.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name])


def test_values_that_are_not_finite_are_refused(network: VisTR, detector: dict[str, np.ndarray], path: Path) -> None:
    detector["query_embed.weight"][3, 3] = np.nan
    with pytest.raises(UserError, match=r"not finite in vistr\.query_embed\.weight"):
        start(network, detector, path)


def test_another_width_gives_the_backbone_and_says_what_would_take_the_rest(
    detector: dict[str, np.ndarray], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        start(tiny.build(hidden_dim=192), detector, path)
    assert "transformer=detr256 transformer.hidden_dim=96 takes all of it" in caplog.text


def test_copies_of_a_frame_are_seen_as_the_frame_is(detector: dict[str, np.ndarray], path: Path) -> None:
    single = tiny.clip(0, 1, num_frames=1)
    found = []
    for num_frames in (1, 3):
        network = small(num_frames=num_frames)
        start(network, detector, path)
        outputs = network(np.repeat(single.frames, num_frames, 1), np.repeat(single.padding, num_frames, 1))
        logits = outputs.logits.asnumpy()[..., [0, 2, 4, 5]]  # of the classes that are not drawn
        found.append([out.reshape(num_frames, 3, -1) for out in (logits, outputs.boxes.asnumpy())])
    for alone, copies in zip(*found, strict=True):
        np.testing.assert_allclose(copies, np.broadcast_to(alone, copies.shape), rtol=0, atol=1e-5)


def test_frames_are_told_apart_by_what_is_learned(network: VisTR) -> None:
    step = tiny.eager(tiny.training_step(tiny.eager(tiny.model(kind=Detr))))
    result = step(tiny.clip(0, 2), None)
    gradients = {p.name: g.asnumpy() for p, g in zip(step.parameters, result.gradients, strict=True)}
    found = gradients["detector.transformer.temporal_embed"]
    assert found.shape == (tiny.NUM_FRAMES, 96)
    assert (np.linalg.norm(found, axis=1) > 1e-6).all()


def test_other_numbers_of_frames_keep_the_frames_they_share(tmp_path: Path) -> None:
    trained = tiny.model(kind=Detr)
    vectors = trained.detector.transformer.temporal_embed.asnumpy()
    path = tmp_path / "trained.safetensors"
    settings = Metadata(to_dict(tiny.config(kind=Detr)), [Category(i, str(i)) for i in range(1, 5)])
    save_checkpoint(path, trained, settings, {})
    longer, shorter = tiny.build(kind=Detr, num_frames=4), tiny.build(kind=Detr, num_frames=1)
    load_initial(longer, path)
    np.testing.assert_array_equal(longer.detector.transformer.temporal_embed.asnumpy(), vectors[[0, 1, 1, 1]])
    load_weights(shorter, read_checkpoint(path))
    np.testing.assert_array_equal(shorter.detector.transformer.temporal_embed.asnumpy(), vectors[:1])
