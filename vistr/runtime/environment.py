"""Environment variables that MindSpore and CUDA read when they are imported."""

from __future__ import annotations

import os
from contextlib import suppress

from vistr.files import user_cache

DEFAULTS = {
    "GLOG_v": "3",  # MindSpore's own warnings are not for the user
    "OMP_WAIT_POLICY": "PASSIVE",  # its threads spin otherwise
    # Load the modules that are used, not all 407 of MindSpore's; keep what the driver compiles for newer GPUs: 4 GB.
    "CUDA_MODULE_LOADING": "LAZY",
    "CUDA_CACHE_MAXSIZE": "4294967296",
}
with suppress(RuntimeError):  # of a user without a home
    # Where a graph that does not compile is described, in place of rank_0/ in the working directory.
    DEFAULTS["MS_OM_PATH"] = str(user_cache() / "failed_graphs")


def set_defaults() -> None:
    """Set those that the user has not set, before `import mindspore`."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
