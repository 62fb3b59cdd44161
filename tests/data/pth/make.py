"""Wrote the files beside it with torch 2.13 (`python make.py`), which the tests themselves do without."""

from __future__ import annotations

import argparse
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import torch

OUT = Path(__file__).parent
REAL = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8)

base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8
state = OrderedDict((str(dtype)[6:], (base - 1.0625).to(dtype)) for dtype in REAL)
state |= {str(dtype)[6:]: (base * 8 - 3).to(dtype) for dtype in WHOLE}
state |= {
    "uint8": (base * 8).to(torch.uint8),
    "bool": base > 1,
    "complex64": torch.complex(base[0], base[1]),
    "transposed": base.t(),
    "slice": base[1:3, 2:],
    "stepped": base[:, ::2],
    "expanded": base[:1, :1].expand(3, 5),
    "scalar": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "parameter": torch.nn.Parameter(base[0]),
}
state._metadata = OrderedDict([("", {"version": 1})])  # as Module.state_dict() has it

network = torch.nn.Linear(2, 2)
optimizer = torch.optim.AdamW(network.parameters())
network(torch.ones(1, 2)).sum().backward()
optimizer.step()
content = {
    "model": state,
    "optimizer": optimizer.state_dict(),
    "lr_scheduler": {"milestones": Counter({12: 1}), "last_epoch": 3},
    "epoch": 17,
    "args": argparse.Namespace(lr=1e-4, masks=True, backbone="resnet50", frozen_weights=None),
    "size": torch.Size([2, 3]),
    "device": torch.device("cuda:0"),
    "best": np.float64(0.25),
    "curve": np.arange(3.0),
}
torch.save(content, OUT / "zip.pth")
torch.save(content, OUT / "stream.pth", _use_new_zipfile_serialization=False)
arrays = {name: tensor.detach() for name, tensor in state.items()}
np.savez_compressed(
    OUT / "values.npz", **{n: (t.float() if t.dtype == torch.bfloat16 else t) for n, t in arrays.items()}
)
