"""Starting weights from the networks that people have, told apart by their names."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests import tiny
from tests.numeric import random
from vistr.config.compose import to_dict
from vistr.data.videos import Category
from vistr.errors import UserError
from vistr.models.vistr import VisTR
from vistr.weights.checkpoint import Metadata, save_checkpoint
from vistr.weights.initial import load_initial
from vistr.weights.names import to_torch_layout, torch_name

BODY = "vistr.backbone.0.body."
DETR_PARTS = ("vistr.backbone.", "vistr.transformer.", "vistr.bbox_embed.", "vistr.input_proj.")


@pytest.fixture(scope="module")
def network() -> VisTR:
    return tiny.build()


@pytest.fixture
def arrays(network: VisTR) -> dict[str, np.ndarray]:
    """A whole VisTR's weights by the original's names, none of them the network's own."""
    return {n: random(i, *a.shape) for i, (n, a) in enumerate(tiny.state_dict(network).items())}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


def taken(network: VisTR, arrays: dict[str, np.ndarray]) -> set[str]:
    """The original's names of the parameters that now have their values in `arrays`."""
    return {
        name
        for p in network.get_parameters()
        if (name := torch_name(p.name)) in arrays and np.array_equal(to_torch_layout(p.name, p.asnumpy()), arrays[name])
    }


def resnet(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The backbone as torchvision and timm name it, with its classifier."""
    names = {n: n.removeprefix(BODY) for n in arrays if n.startswith(BODY)}
    counters = {new.replace("running_var", "num_batches_tracked"): np.array(1) for new in names.values()}
    counters = {n: a for n, a in counters.items() if n.endswith("num_batches_tracked")}
    classifier = {"fc.weight": random(0, 1000, 512), "fc.bias": random(1, 1000)}
    return {new: arrays[old] for old, new in names.items()} | classifier | counters


def detr(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A COCO DETR: 100 queries, 92 classes, no masks."""
    kept = {n.removeprefix("vistr."): a for n, a in arrays.items() if n.startswith(DETR_PARTS)}
    heads = {"class_embed.weight": random(0, 92, 96), "class_embed.bias": random(1, 92)}
    return kept | heads | {"query_embed.weight": random(2, 100, 96)}


def test_a_resnet_fills_the_backbone(network: VisTR, arrays: dict[str, np.ndarray], path: Path) -> None:
    save_file(resnet(arrays), path)
    load_initial(network, path)
    assert taken(network, arrays) == {name for name in arrays if name.startswith(BODY)}


def test_a_detr_fills_all_but_classes_and_queries(
    network: VisTR, arrays: dict[str, np.ndarray], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_file(detr(arrays), path)
    with caplog.at_level(logging.INFO):
        load_initial(network, path)
    assert taken(network, arrays) == {name for name in arrays if name.startswith(DETR_PARTS)}
    assert f"starting from {path} (a DETR)" in caplog.text
    new = next(line for line in caplog.messages if "new:" in line)
    assert "bbox_attention.k_linear.bias" in new
    not_used = next(line for line in caplog.messages if "not used:" in line)
    assert "vistr.class_embed.bias, vistr.class_embed.weight, vistr.query_embed.weight" in not_used


def test_a_detr_of_as_many_classes_and_queries_keeps_them_to_itself(
    network: VisTR, arrays: dict[str, np.ndarray], path: Path
) -> None:
    same = {n: arrays[f"vistr.{n}"] for n in ("class_embed.weight", "class_embed.bias", "query_embed.weight")}
    save_file(detr(arrays) | same, path)
    load_initial(network, path)
    assert taken(network, arrays) == {name for name in arrays if name.startswith(DETR_PARTS)}


def test_a_detr_with_masks_gives_the_attention_map_too(
    network: VisTR, arrays: dict[str, np.ndarray], path: Path
) -> None:
    attention = {f"detr.{n}": a for n, a in detr(arrays).items()}
    attention |= {n: a for n, a in arrays.items() if n.startswith("bbox_attention.")}
    save_file(attention | {"mask_head.out_lay.weight": random(0, 1, 6, 3, 3)}, path)
    load_initial(network, path)
    parts = (*DETR_PARTS, "bbox_attention.")
    assert taken(network, arrays) == {name for name in arrays if name.startswith(parts)}


def test_a_vistr_fills_everything(network: VisTR, arrays: dict[str, np.ndarray], path: Path) -> None:
    save_file(arrays, path)
    load_initial(network, path)
    assert taken(network, arrays) == set(arrays)


def test_a_vistr_of_other_clips_gives_the_queries_of_its_first_frames_and_slots(
    network: VisTR, arrays: dict[str, np.ndarray], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queries = random(0, 36 * 10, 96)
    save_file(arrays | {"vistr.query_embed.weight": queries}, path)
    with caplog.at_level(logging.INFO):
        load_initial(network, path)
    expected = queries.reshape(36, 10, 96)[: tiny.NUM_FRAMES, : tiny.NUM_INSTANCES].reshape(-1, 96)
    np.testing.assert_array_equal(network.detector.query_embed.asnumpy(), expected)
    assert "those of the first 2 frames of 36 are reused" in caplog.text
    assert "the first 3 slots of 10 are reused" in caplog.text


def test_longer_clips_start_from_the_last_frames_queries(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained = tiny.model()
    save_checkpoint(path, trained, Metadata(to_dict(tiny.config()), [Category(1, "cat")]), {})
    longer = tiny.build(num_frames=4, num_instances=4)
    drawn = longer.detector.query_embed.asnumpy().reshape(4, 4, 96).copy()
    with caplog.at_level(logging.INFO):
        load_initial(longer, path)
    theirs = trained.detector.query_embed.asnumpy().reshape(2, 3, 96)
    ours = longer.detector.query_embed.asnumpy().reshape(4, 4, 96)
    np.testing.assert_array_equal(ours[:, :3], theirs[[0, 1, 1, 1]])
    np.testing.assert_array_equal(ours[:, 3], drawn[:, 3])
    assert "further frames start as copies of the last" in caplog.text
    assert "the first 3 slots of 3 are reused, 1 slots are new" in caplog.text


def test_classes_are_reused_by_name(network: VisTR, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained = tiny.model()
    known = [Category(i + 1, name) for i, name in enumerate(("cat", "dog", "cow", "ant"))]
    save_checkpoint(path, trained, Metadata(to_dict(tiny.config()), known), {})
    head = network.detector.class_embed
    drawn = [head.weight.asnumpy().copy(), head.bias.asnumpy().copy()]
    with caplog.at_level(logging.INFO):
        load_initial(network, path, ["cow", "bee", "cat", "fly"])
    assert "classes: cow, cat reused, new are bee, fly" in caplog.text
    theirs = trained.detector.class_embed
    for ours, before, rows in zip((head.weight, head.bias), drawn, (theirs.weight, theirs.bias), strict=True):
        reused = rows.asnumpy()[[0, 3, 1, 5]]
        np.testing.assert_array_equal(ours.asnumpy()[[0, 1, 3, 5]], reused)
        np.testing.assert_array_equal(ours.asnumpy()[[2, 4]], before[[2, 4]])


def test_a_detr_of_another_width_gives_its_backbone_and_not_one_stray_bias(
    network: VisTR, arrays: dict[str, np.ndarray], path: Path
) -> None:
    wider = {n: a if n.startswith("backbone.") else random(1, *a.shape) for n, a in detr(arrays).items()}
    wider["input_proj.weight"] = random(0, 256, 512, 1, 1)
    save_file(wider, path)
    load_initial(network, path)
    assert taken(network, {n: wider.get(n.removeprefix("vistr."), a) for n, a in arrays.items()}) == {
        name for name in arrays if name.startswith(BODY)
    }


def test_a_checkpoint_of_ours_fills_everything(
    network: VisTR, arrays: dict[str, np.ndarray], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained = tiny.model()
    save_checkpoint(path, trained, Metadata({}, [Category(1, "cat")]), {"first.x": random(0, 3)})
    with caplog.at_level(logging.INFO):
        load_initial(network, path)
    assert taken(network, tiny.state_dict(trained)) == set(arrays)
    assert "(a vistr checkpoint)" in caplog.text


@pytest.mark.parametrize(
    ("kind", "lost"), [("a ResNet", "layer4.0.bn2.bias"), ("a DETR", "transformer.encoder.layers.0.norm1.weight")]
)
def test_what_a_kind_promises_must_be_there(
    network: VisTR, arrays: dict[str, np.ndarray], path: Path, kind: str, lost: str
) -> None:
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    offered = resnet(arrays) if kind == "a ResNet" else detr(arrays)
    for broken in ({n: a for n, a in offered.items() if n != lost}, offered | {lost: random(0, 5)}):
        save_file(broken, path)
        with pytest.raises(UserError, match=f"looks like {kind}, but does not fit this network in") as error:
            load_initial(network, path)
        assert lost in str(error.value)
        assert str(path) in str(error.value)
    for parameter in network.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name])


def test_other_files_are_named(network: VisTR, path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_initial(network, path)
    path.write_bytes(b"no weights at all")
    with pytest.raises(UserError, match="is damaged or no file of weights"):
        load_initial(network, path)
    save_file({"encoder.weight": random(0, 3), "head.weight": random(1, 2)}, path)
    sentence = r"\(encoder.weight, head.weight\) are neither a ResNet's, a Swin's, a DETR's nor a VisTR's"
    with pytest.raises(UserError, match=sentence) as error:
        load_initial(network, path)
    assert str(path) in str(error.value)
