"""Every operator of training and inference has a GPU kernel, forward and backward, in both precisions.

The real plugin runs the real graphs on stand-ins for the CUDA libraries (vistr/devices).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vistr.runtime import gpu_runtime
from vistr.runtime.devices import stand_ins

ROOT = Path(__file__).resolve().parent.parent
REASON = stand_ins.why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=str(REASON))]


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What tests/on_fake_gpu.py says of its parts; nothing of CUDA is set beforehand."""
    folder = stand_ins.ready()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CUDA")}
    environment["LD_LIBRARY_PATH"] = str(folder)
    cache = tmp_path_factory.mktemp("cache")
    command = [sys.executable, "-m", "tests.on_fake_gpu", str(folder), str(cache)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_plugin_loads_from_the_wheels_with_nothing_set_beforehand(answer: dict[str, Any]) -> None:
    assert answer["device"] == "GPU"
    assert answer["libraries"] == sorted([gpu_runtime.plugin().name, *(name for _, name in gpu_runtime.LIBRARIES)])


PARTS = ("fp32", "fp16", "dilated bottlenecks", "deformable encoder", "windows", "windows, fp16", "every operator")


@pytest.mark.parametrize("part", PARTS)
def test_every_operator_has_a_kernel(answer: dict[str, Any], part: str) -> None:
    assert answer[part] is None


def test_an_operator_without_one_is_noticed(answer: dict[str, Any]) -> None:
    assert answer["without kernel"] is None


def test_a_deformable_convolution_holds_one_chunk_of_images_at_a_time(answer: dict[str, Any]) -> None:
    assert answer["deformable memory"] is None
