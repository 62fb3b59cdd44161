"""MindSpore's private parts, known for one release: with another they are left alone, and graphs not kept on disk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mindspore as ms
from mindspore import Parameter

RELEASE = "2.10"


def _parts() -> tuple[Any, Any] | None:
    """The module of compiled functions and the executor of their graphs; None where they may be others."""
    if not ms.__version__.startswith(f"{RELEASE}."):
        return None
    try:
        from mindspore._c_expression import JitExecutor_
        from mindspore.graph import api
    except ImportError:
        return None
    return api, JitExecutor_


PARTS = _parts()


def ignore_scripts(script: str) -> None:
    """Leave the main script, which a notebook lacks, and its imports out of the checksum of MindSpore's cache."""
    if PARTS is not None:
        PARTS[0].entry_script_path, PARTS[0].sys_path = script, [""]


def name_weights(weights: dict[str, Parameter]) -> None:
    """Say which parameters a graph that is loaded from disk finds by their names."""
    if PARTS is not None:
        PARTS[1].get_instance().set_weights_values(weights)


def drop_graphs() -> None:
    """Drop every graph that this process has compiled."""
    if PARTS is not None:
        graphs: Iterable[Any] = PARTS[0].ms_compile_cache
        PARTS[1].get_instance().del_net_res(None, set(graphs))
        PARTS[0].ms_compile_cache.clear()


def launch_threads_are_set() -> bool:
    """Whether the user has chosen how many threads launch kernels, or nobody can tell."""
    if PARTS is None:
        return True
    from mindspore._c_expression import RuntimeConf

    return bool(RuntimeConf.get_instance().is_dispatch_threads_num_configured())
