"""An exported VisTR on the frames of a folder, without this package: python run_exported.py vistr.mindir <folder>"""

import json
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from PIL import Image

file, folder = Path(sys.argv[1]), Path(sys.argv[2])
about = json.loads(Path(f"{file}.json").read_text())
slots, size = about["num_instances"], (about["width"], about["height"])
pictures = (sorted(folder.glob("*.jpg")) * about["num_frames"])[: about["num_frames"]]  # a short video is repeated
frames = np.stack([np.asarray(Image.open(p).convert("RGB").resize(size)) / 255 for p in pictures])
frames = ((frames - about["mean"]) / about["std"]).transpose(0, 3, 1, 2)[None].astype(np.float32)
ms.set_device("CPU")
ms.set_context(mode=ms.GRAPH_MODE)
logits, _, masks = (x.asnumpy()[0] for x in ms.nn.GraphCell(ms.load(str(file)))(ms.Tensor(frames)))
odds = np.exp(logits - logits.max(-1, keepdims=True)).reshape(len(pictures), slots, -1)
odds = (odds / odds.sum(-1, keepdims=True))[..., 1:-1].mean(0)  # of the categories, over the frames
for slot in odds.max(-1).argsort()[::-1]:
    pixels = [int((mask > 0).sum()) for mask in masks[slot::slots]]
    print(f"slot {slot}: {about['categories'][odds[slot].argmax()]} {odds[slot].max():.3f}, pixels/16: {pixels}")
