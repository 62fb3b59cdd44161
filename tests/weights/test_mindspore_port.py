"""The earlier MindSpore port's two files: every entry finds its place."""

from __future__ import annotations

import re
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from tests import reference, tiny
from vistr.errors import UserError
from vistr.weights.checkpoint import load_weights, read_checkpoint
from vistr.weights.mindspore_port import DEFORMABLE, original_name

# The original's names to the port's, written down from the list of its checkpoint's entries.
_TO_PORT = (
    (r"^vistr\.backbone\.0\.body\.conv1\.", "embed1.0.features.0."),
    (r"^vistr\.backbone\.0\.body\.bn1\.", "embed1.0.features.1."),
    (r"^vistr\.backbone\.0\.body\.layer1\.", "embed1.3."),
    (r"^vistr\.backbone\.0\.body\.layer(\d)\.", r"embed\1."),
    (r"(embed.*)\.conv(\d)\.weight$", r"\1.conv\2.features.0.weight"),
    (r"(embed.*)\.bn(\d)\.", r"\1.conv\2.features.1."),
    (r"(embed.*)\.downsample\.", r"\1.down_sample.features."),
    (r"(features\.1)\.weight$", r"\1.gamma"),
    (r"(features\.1)\.bias$", r"\1.beta"),
    (r"running_mean$", "moving_mean"),
    (r"running_var$", "moving_variance"),
    (r"^vistr\.query_embed\.weight$", "query_embed.embedding_table"),
    (r"^vistr\.(transformer\.)?", ""),
    (r"((?:norm|gn)\d?|insmask_head\.[147])\.weight$", r"\1.gamma"),
    (r"((?:norm|gn)\d?|insmask_head\.[147])\.bias$", r"\1.beta"),
    (r"k_linear", "conv2d"),
)


def port_name(name: str) -> str:
    for pattern, replacement in _TO_PORT:
        name = re.sub(pattern, replacement, name)
    return name


def write_port(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    keys = "bbox_attention.k_linear.weight"
    shaped = arrays | {keys: arrays[keys].reshape(*arrays[keys].shape, 1, 1)}
    entries = [{"name": port_name(n), "data": ms.Tensor(a)} for n, a in shaped.items() if n != DEFORMABLE]
    ms.save_checkpoint(entries, str(folder / "vistr_r50_all.ckpt"))
    np.save(folder / "weights_r50.npy", arrays[DEFORMABLE])
    return folder / "vistr_r50_all.ckpt"


@pytest.mark.parametrize("backbone", ["r50", "r101"])
def test_every_name_of_the_original_is_found_from_the_ports(backbone: str) -> None:
    for name in reference.original_shapes(backbone, 36):
        assert original_name(port_name(name)) == name
    assert port_name("vistr.backbone.0.body.layer1.0.downsample.1.weight") == "embed1.3.0.down_sample.features.1.gamma"


def test_the_two_files_are_a_checkpoint_with_a_dense_head(tmp_path: Path) -> None:
    changes = {"num_instances": 10, "sequence_head": "dense"}
    theirs = tiny.model(**changes)
    checkpoint = read_checkpoint(write_port(tmp_path, tiny.state_dict(theirs)))
    assert checkpoint.metadata.config["sequence_head"] == "dense"
    ours = tiny.build(**changes)
    load_weights(ours, checkpoint)
    for mine, original in zip(ours.get_parameters(), theirs.get_parameters(), strict=True):
        np.testing.assert_array_equal(mine.asnumpy(), original.asnumpy(), err_msg=mine.name)


def test_the_deformable_weights_must_lie_beside_it(tmp_path: Path) -> None:
    path = write_port(tmp_path, tiny.state_dict(tiny.build(num_instances=10, sequence_head="dense")))
    (tmp_path / "other.npy").write_bytes((tmp_path / "weights_r50.npy").read_bytes())
    with pytest.raises(UserError, match=r"2 \.npy files are there"):
        read_checkpoint(path)
    (tmp_path / "weights_r50.npy").unlink()
    np.save(tmp_path / "other.npy", np.zeros((3, 3)))
    with pytest.raises(UserError, match="holds no weights of a deformable convolution"):
        read_checkpoint(path)
    (tmp_path / "other.npy").unlink()
    with pytest.raises(UserError, match=r"lacks the weights of its deformable convolution.*none is there"):
        read_checkpoint(path)
