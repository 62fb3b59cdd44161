"""`task=export`: a checkpoint as one file that runs without this package, held to the network it came from."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor

from vistr.config import Config
from vistr.config.adopting import adopt_checkpoint
from vistr.data.transforms import MEAN, STD
from vistr.errors import UserError
from vistr.files import keep_umask, working_folder
from vistr.models.exported import FixedNetwork
from vistr.runtime.backend import Backend
from vistr.runtime.device import use_device
from vistr.tasks.settings import Export
from vistr.weights.checkpoint import Checkpoint, network_of, read_checkpoint

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
OUTPUTS = ("logits", "boxes", "masks")


@dataclass(frozen=True)
class ClipSize:
    """Input size of the file: T frames of height x width pixels."""

    num_frames: int
    height: int
    width: int


def run(config: Config) -> dict[str, float]:
    """Write task.checkpoint to task.output (default: the run's folder), and beside it a .json that describes it.

    The file is loaded again and held to the network's own outputs on random frames; only then does it get its name.
    Returns the largest differences.
    """
    task = Export.of(config)
    checkpoint = read_checkpoint(task.checkpoint)
    config = adopt_checkpoint(config, checkpoint.metadata.config, config.overrides)
    kind = task.format or "mindir"
    if kind == "onnx":
        _require_onnxruntime()
    output = Path(task.output or config.folder / f"vistr.{kind}")
    size = ClipSize(config.num_frames, *task.frame_size(config))
    logger.info(
        "exporting %d frames of %dx%d pixels; compiling takes a while", size.num_frames, size.height, size.width
    )
    clip = np.random.default_rng(0).standard_normal((1, size.num_frames, 3, size.height, size.width), np.float32)
    expected = _outputs_of_network(config, checkpoint, clip)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(".export-", output.parent) as folder:
            draft = _write(config, checkpoint, size, clip, folder, kind)
            found = _run_onnx(draft, clip) if kind == "onnx" else _run_mindir(draft, clip)
            differences = _hold(expected, found)
            os.replace(draft, output)
        about = output.with_name(f"{output.name}.json")
        about.write_text(json.dumps(_describe(config, checkpoint, size), indent=2) + "\n")
    except OSError as error:
        raise UserError(f"output={output} cannot be written: {error.strerror or error}.") from error
    shown = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
    logger.info("reloaded, and the same as the network within %g: %s", TOLERANCE, shown)
    logger.info("%s, %.0f MB, and %s", output, output.stat().st_size / 1e6, about.name)
    return differences


def _outputs_of_network(config: Config, checkpoint: Checkpoint, clip: np.ndarray) -> dict[str, np.ndarray]:
    model = network_of(checkpoint, config)
    outputs = model(clip, np.zeros((1, clip.shape[1], *clip.shape[3:]), bool))
    return {name: getattr(outputs, name).asnumpy() for name in OUTPUTS}


def _write(config: Config, checkpoint: Checkpoint, size: ClipSize, clip: np.ndarray, folder: Path, kind: str) -> Path:
    # In ONNX a convolution stays one: its runtimes have fast ones, and no tables of indices fill the file.
    # What a GPU writes runs on a CPU too.
    on_gpu = use_device(config.device.target, config.device.id) == "GPU"
    kernels: Backend | None = "native" if kind == "onnx" or on_gpu else None
    model = network_of(checkpoint, config, kernels)
    network = FixedNetwork(model, size.num_frames, size.height, size.width)
    network.set_train(False)
    draft = folder / f"vistr.{kind}"
    try:
        with _graph_mode():
            ms.export(network, Tensor(clip), file_name=str(draft), file_format=kind.upper())
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"format={kind}: MindSpore cannot export this network ({reason})") from error
    if not draft.is_file():
        # Beyond 1 GB MindSpore splits graph and numbers.
        raise UserError(
            f"{size.num_frames} frames of {size.height}x{size.width} do not fit one .{kind} file (1 GB): choose a"
            " smaller num_frames=, task.height= and task.width=" + ("" if kind == "onnx" else ", or format=onnx")
        )
    keep_umask(draft)
    return draft


def _run_mindir(path: Path, clip: np.ndarray) -> dict[str, np.ndarray]:
    with _graph_mode():
        values = ms.nn.GraphCell(ms.load(str(path)))(Tensor(clip))
        return {name: value.asnumpy() for name, value in zip(OUTPUTS, values, strict=True)}


@contextmanager
def _graph_mode() -> Iterator[None]:
    """Precision that a file is written and run in; the network itself runs in the other one."""
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        yield
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def _run_onnx(path: Path, clip: np.ndarray) -> dict[str, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values: Any = session.run(None, {session.get_inputs()[0].name: clip})
    return dict(zip(OUTPUTS, values, strict=True))


def _require_onnxruntime() -> None:
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError("format=onnx is checked with onnxruntime: pip install onnxruntime") from error


def _hold(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest difference of every output; UserError where one is above the tolerance.

    Masks are logits of any size: theirs counts in units of the largest, if that is above 1.
    """
    differences = {}
    for name, value in expected.items():
        scale = max(1.0, float(np.abs(value).max())) if name == "masks" else 1.0
        differences[name] = float(np.abs(found[name] - value).max()) / scale
    wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
    if wrong:
        raise UserError(f"the exported file does not give the network's outputs (off by {wrong}): it was not kept")
    return differences


def _describe(config: Config, checkpoint: Checkpoint, size: ClipSize) -> dict[str, Any]:
    return {
        **vars(size),
        "num_instances": config.num_instances,
        "mean": MEAN,
        "std": STD,
        "categories": [category.name for category in checkpoint.metadata.categories],
        "input": "frames [1, T, 3, H, W] float32: RGB / 255, less mean, divided by std",
        "outputs": {
            "logits": "[1, T*N, K+2]: 0 is never used, 1 to K are the categories, the last is no object",
            "boxes": "[1, T*N, 4]: centre x, centre y, width, height in [0, 1]",
            "masks": "[1, T*N, H/4, W/4]: logits; query t*N + i is slot i in frame t",
        },
        "checkpoint": checkpoint.path.name,
        "versions": checkpoint.metadata.versions,
    }
