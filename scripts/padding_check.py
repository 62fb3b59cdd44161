"""How far padded clips are from themselves without padding: `python -m scripts.padding_check [--backbone r101]`.

One clip, padded by 1 and 31 pixels and to twice its sides, then a batch of two smaller ones from each alone, on a CPU
with the reference weights. The last row is what rounding does: the batch from itself, its pixels changed by a
ten-millionth. `--leak` makes the network take padding for picture; `--smooth` gives it ReLUs without a corner, so that
none turns by rounding.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from tests import tiny
from tests.padded import Answer, Distance, clip, distance, smooth_relus
from tests.reference_run import let_padding_leak
from vistr.config import Device
from vistr.data.clips import Batch
from vistr.losses.supervision import Normalisers, count_boxes
from vistr.training.step import TrainingStep

PAPER = {"hidden_dim": 384, "num_heads": 8, "num_encoder_layers": 6, "num_decoder_layers": 6, "feedforward_dim": 2048}
# Small gradients survive half precision.
SCALES = {"fp32": 1.0, "fp16": 128.0}


def main() -> None:
    options = read_options()
    device = Device(target="cpu", precision=options.precision)
    changes = {"name": options.backbone, "dilation": options.dilation, "sequence_head": options.head}
    changes |= {"num_frames": options.frames, "device": device} | ({} if options.small else PAPER)
    network = tiny.eager(tiny.model(None, **changes))
    if options.leak:
        let_padding_leak(network)
    with smooth_relus() if options.smooth else nullcontext():
        report(tiny.eager(tiny.training_step(network)), options)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="r50", help="r10 to r101; tiny: that of the tests, of 12 convolutions")
    parser.add_argument("--small", action="store_true", help="the tests' transformer, not the paper's")
    parser.add_argument("--dilation", action="store_true", help="the backbone's last stage at stride 16")
    parser.add_argument("--head", choices=("dilated", "dense"), default="dilated")
    parser.add_argument("--precision", choices=tuple(SCALES), default="fp32")
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=(32, 48), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--leak", action="store_true")
    parser.add_argument("--smooth", action="store_true")
    return parser.parse_args()


def report(step: TrainingStep, options: argparse.Namespace) -> None:
    """Print a row for every case."""
    (height, width), frames, scale = options.size, options.frames, SCALES[options.precision]
    size = (height, width)

    def answer(batch: Batch, of_all: Batch) -> Answer:
        return Answer(step, batch, Normalisers(count_boxes(of_all.targets), 20.0), scale)

    plain = clip(1, size, size, frames)
    alone = answer(plain, plain)
    deviations = {k: float(alone.outputs[k].std()) for k in ("logits", "masks")}
    print(", ".join(f"deviation of the {k} {v:.2g}" for k, v in deviations.items()))
    print("| | logits | boxes | masks | masks turned | worst loss | all gradients | worst gradient |")
    print("|---|---|---|---|---|---|---|---|")
    for name, bucket in {
        "1 px": (height + 1, width + 1),
        "31 px": (height + 31, width + 31),
        "100 %": (2 * height, 2 * width),
    }.items():
        show(name, distance(answer(clip(1, size, bucket, frames), plain), [alone]))
    sizes = [(height - 1, width - 31), (height // 2, width // 2)]
    many = tiny.join([clip(i, some, size, frames) for i, some in enumerate(sizes)])
    together = answer(many, many)
    show("batch", distance(together, [answer(clip(i, s, s, frames), many) for i, s in enumerate(sizes)]))
    signs = np.random.default_rng(0).choice([-1, 1], many.frames.shape)
    nudged = replace(many, frames=(many.frames * (1 + 1e-7 * signs)).astype(np.float32))
    show("batch, pixels + 1e-7", distance(answer(nudged, many), [together]))


NAMES = ("logits", "boxes", "masks")


def show(name: str, found: Distance) -> None:
    """One row."""
    outputs = " | ".join(f"{found.outputs[k]:.1e}" for k in NAMES)
    worst = max(found.gradients, key=lambda k: found.gradients[k])
    loss, gradient = max(found.losses.values()), found.gradients[worst]
    print(
        f"| {name} | {outputs} | {100 * found.turned:.3g} % | {loss:.1e} | {found.whole_gradient:.1e} "
        f"| {gradient:.1e} ({worst}) |",
        flush=True,
    )


if __name__ == "__main__":
    main()
