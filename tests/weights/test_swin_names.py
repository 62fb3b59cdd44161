"""A Swin's weights make the same network whosever names they have.

Names and shapes of timm 1.0.31 (swin_tiny_patch4_window7_224) and torchvision 0.28 (swin_t) were compared, by
`microsoft_names`, with those of facebookresearch/Mask2Former's Swin, which reads Microsoft's files: they are the same.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests import tiny
from tests.numeric import random
from vistr.config.compose import from_dict, to_dict
from vistr.errors import UserError
from vistr.models.vistr import VisTR
from vistr.weights.architecture import architecture, backbone_of
from vistr.weights.fitting import require_fitting
from vistr.weights.initial import load_initial, read_initial
from vistr.weights.kinds import BODY
from vistr.weights.load import load_torch_state_dict
from vistr.weights.names import our_name, to_torch_layout, torch_name

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def network() -> VisTR:
    return tiny.build(name="tiny_swin")


@pytest.fixture(scope="module")
def microsoft(network: VisTR) -> Arrays:
    """A classifier's weights as Microsoft's files have them, none of them the network's own, and what else is there."""
    names = [n for n in tiny.state_dict(network) if n.startswith(BODY)]
    shapes = {torch_name(p.name): to_torch_layout(p.name, p.asnumpy()).shape for p in network.get_parameters()}
    arrays = {n.removeprefix(BODY): random(i, *shapes[n]) for i, n in enumerate(names)}
    arrays = {n: a for n, a in arrays.items() if not re.match(r"norm\d\.", n)}
    buffers: Arrays = {
        f"{n.rpartition('.')[0]}.relative_position_index": np.zeros((9, 9), np.int64)
        for n in arrays
        if n.endswith("relative_position_bias_table")
    }
    buffers["layers.0.blocks.1.attn_mask"] = np.zeros((4, 9, 9), np.float32)
    ends = {"norm.weight": (256,), "norm.bias": (256,), "head.weight": (10, 256), "head.bias": (10,)}
    return arrays | buffers | {n: random(7, *shape) for n, shape in ends.items()}


def timm(arrays: Arrays) -> Arrays:
    """Their names: the way to a stage is that stage's own, and the head has a layer's name."""
    arrays = {n: a for n, a in arrays.items() if "position_index" not in n and "attn_mask" not in n}
    moved = {re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) + 1}.downsample", n): n for n in arrays}
    return {new.replace("head.", "head.fc."): arrays[old] for new, old in moved.items()}


def torchvision(arrays: Arrays) -> Arrays:
    """Theirs: a sequence of stages and the ways between them."""
    found = {}
    for name, array in arrays.items():
        if "attn_mask" in name:
            continue
        new = name.replace("patch_embed.proj", "features.0.0").replace("patch_embed.norm", "features.0.2")
        new = re.sub(r"layers\.(\d)\.blocks", lambda m: f"features.{2 * int(m[1]) + 1}", new)
        new = re.sub(r"layers\.(\d)\.downsample", lambda m: f"features.{2 * int(m[1]) + 2}", new)
        found[new.replace("mlp.fc1", "mlp.0").replace("mlp.fc2", "mlp.3")] = array
    return found


@pytest.mark.parametrize("naming", [dict, timm, torchvision])
def test_three_namings_fill_the_backbone_alike(
    naming: type[dict], network: VisTR, microsoft: Arrays, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(naming(microsoft), path)
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    with caplog.at_level(logging.INFO):
        load_initial(network, path)
    assert f"starting from {path} (a Swin)" in caplog.text
    assert "norm.weight" in next(line for line in caplog.messages if "not used:" in line)
    for p in network.get_parameters():
        name, value = torch_name(p.name), to_torch_layout(p.name, p.asnumpy())
        if not name.startswith(BODY):
            np.testing.assert_array_equal(p.asnumpy(), before[p.name], err_msg=name)
        elif (norm := re.match(r"norm\d\.(weight|bias)", name.removeprefix(BODY))) is not None:
            np.testing.assert_array_equal(value, np.full(p.shape, norm[1] == "weight"), err_msg=name)
        else:
            np.testing.assert_array_equal(value, microsoft[name.removeprefix(BODY)], err_msg=name)


def test_a_missing_weight_is_named(network: VisTR, microsoft: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({n: a for n, a in torchvision(microsoft).items() if n != "features.3.0.mlp.3.bias"}, path)
    with pytest.raises(UserError, match=r"does not fit this network in .*layers\.1\.blocks\.0\.mlp\.fc2\.bias"):
        load_initial(network, path)


def test_another_window_is_refused_by_its_setting(microsoft: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(timm(microsoft), path)
    config = tiny.config(name="tiny_swin", window=7)
    with pytest.raises(UserError, match=r"has backbone\.window=3, but the configured network 7"):
        require_fitting(read_initial(path), config)
    require_fitting(read_initial(path), tiny.config(name="tiny_swin"))
    with pytest.raises(UserError, match=r"has backbone\.name=tiny_swin, but the configured network tiny:"):
        require_fitting(read_initial(path), tiny.config())


def test_its_second_version_is_another_network(microsoft: Arrays, tmp_path: Path) -> None:
    second = {n.replace("relative_position_bias_table", "cpb_mlp.0.weight"): a for n, a in microsoft.items()}
    save_file(second, tmp_path / "v2.safetensors")
    with pytest.raises(UserError, match="neither a ResNet's, a Swin's"):
        read_initial(tmp_path / "v2.safetensors")


def test_a_whole_network_by_the_originals_names_says_its_backbone(network: VisTR) -> None:
    arrays = tiny.state_dict(network)
    assert {our_name(n) for n in arrays} == {p.name for p in network.get_parameters()}
    load_torch_state_dict(network, arrays)
    assert backbone_of(arrays) == tiny.config(name="tiny_swin").backbone
    found = from_dict(architecture(arrays, Path("x"), num_instances=3, dilation=False))
    assert to_dict(found)["backbone"] == to_dict(tiny.config(name="tiny_swin"))["backbone"]
