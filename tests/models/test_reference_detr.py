"""A VisTR that starts from the public COCO DETR (its panoptic file, R50) against the original DETR's numbers.

The weights are seeded, as everywhere in `tests.reference`; a clip is one frame and has DETR's own 100 queries. The
original's convolutions count padding as part of the picture, which ours do not (docs/differences.md): for `padded` the
network is told that pictures fill their arrays, so that attention and position code alone know of padding, as there.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from mindspore import Tensor

from tests import reference, tiny
from tests.reference_run import let_padding_leak
from vistr.config import Config, Device
from vistr.data.category_tables import COCO_IDS
from vistr.models.build import build_model
from vistr.models.settings import Detr
from vistr.models.vistr import VisTR, image_rows
from vistr.weights.initial import load_initial
from vistr.weights.kinds import Source, recognise

pytestmark = pytest.mark.slow

CLIPS = {"plain": (11, 1, 96, 128), "padded": (12, 1, 128, 160, 30, 37)}
QUERIES, MASKS = slice(0, 100, 9), slice(0, 10, 3)  # those whose numbers are kept
CLASSES = [0, *COCO_IDS.values(), 250]  # rows of the panoptic file that mean something here too


class Found(NamedTuple):
    """What the network gives, and where it has been told of padding."""

    states: np.ndarray
    memory: np.ndarray
    logits: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """The panoptic file's arrays, with seeded values."""
    shapes = reference.read_archive("detr256_manifest.json.gz")
    return {name: reference.weight(name.removeprefix("detr."), tuple(shape)) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def network(arrays: dict[str, np.ndarray]) -> VisTR:
    """A VisTR of one frame and 100 slots whose 249 classes are COCO's by number."""
    config = Config(num_frames=1, num_instances=100, transformer=Detr(), device=Device(target="cpu"))
    built = build_model(config, 249)
    source = Source(Path("detr-r50-panoptic.pth"), "pth", *recognise(arrays, Path("detr-r50-panoptic.pth")), {})
    known = {number: name for name, number in COCO_IDS.items()}
    load_initial(built, source, [known.get(number, f"class {number}") for number in range(1, 250)])
    let_padding_leak(built)
    return tiny.eager(built)


@pytest.fixture(scope="module", params=CLIPS)
def case(request: pytest.FixtureRequest, network: VisTR, arrays: dict[str, np.ndarray]) -> tuple[str, Found]:
    frames, padding = reference.clip(*CLIPS[request.param])
    images, context = network.prepare(frames[None], padding[None])
    found = network.detect(images, context, None)
    query = Tensor(arrays["detr.query_embed.weight"])
    maps = network.detector.input_proj(found.maps[3])[None]
    states, _ = network.detector.transformer(maps, query, context.position, context.key_padding_mask, None)
    shared = (*network.run_share(found.memory, context.sizes), *network.run_adapt(*found.maps[:3]))
    queries, rows = image_rows(np.arange(10)[MASKS], 1, 100)
    head = network.segmenter
    at = Tensor(rows.reshape(-1))
    attention = head.bbox_attention(
        found.states[Tensor(queries.reshape(-1))], shared[0][at], context.padding_mask_by_frame(1)[at]
    )
    features = head.mask_head(attention, shared[1:], at, context.sizes[at]).asnumpy()
    masks = last_layer(features, arrays["mask_head.out_lay.weight"], arrays["mask_head.out_lay.bias"])
    memory = found.memory.asnumpy()[0, ..., :256]
    return request.param, Found(
        states.asnumpy()[:, 0], memory, found.logits.asnumpy()[-1, 0], found.boxes.asnumpy()[-1, 0], masks
    )


def last_layer(features: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """DETR's last convolution, 3x3 to one channel, which VisTR has 3-D convolutions in place of."""
    wide = np.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = features.shape[1:3]
    taps = [(y, x) for y in range(3) for x in range(3)]
    return sum(wide[:, y : y + height, x : x + width] @ weight[0, :, y, x] for y, x in taps) + bias


def expected(name: str) -> np.ndarray:
    return np.load(reference.FOLDER / "detr256.npz")[name]


@pytest.mark.parametrize(
    ("name", "tolerance"), [("hs", 1e-4), ("memory", 1e-4), ("logits", 1e-4), ("boxes", 1e-4), ("masks", 1e-3)]
)
def test_it_is_the_original_detr(case: tuple[str, Found], name: str, tolerance: float) -> None:
    kind, found = case
    ours = {
        "hs": found.states[:, QUERIES],
        "memory": found.memory.transpose(2, 0, 1),
        "logits": found.logits[QUERIES][:, CLASSES],
        "boxes": found.boxes,
        "masks": found.masks,
    }[name]
    theirs = expected(f"{kind}_{name}")
    if name == "logits":
        theirs = theirs[:, CLASSES]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
