"""A training step's memory on a GPU graph by graph, found without one: `python -m scripts.step_memory [KEY=VALUE ...]`.

Keys as for `task=rehearse`, whose stand-ins it needs. For every graph of a warm step: GB that the memory pool gives out
before its call, and at the most during it; kernels launched.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from vistr.runtime import gpu_runtime
from vistr.runtime.devices import stand_ins


def main() -> None:
    os.environ |= {gpu_runtime.STAND_INS: str(stand_ins.ready()), "GLOG_v": "3"}
    # Before anything imports MindSpore.
    gpu_runtime.load_stand_ins()
    report(sys.argv[1:])


def report(overrides: list[str]) -> None:
    """Print a line for each graph of a step with each number of objects in `task.objects`."""
    import mindspore as ms

    from vistr.benchmark.device_steps import training_steps
    from vistr.config.compose import load_config
    from vistr.models.build import build_model
    from vistr.runtime.graph import Graph
    from vistr.tasks.rehearse import padded_size
    from vistr.tasks.settings import Rehearse

    config = load_config(["task=rehearse", "device.target=gpu", "device.keep_graphs=false", *overrides])
    train = training_steps(config, build_model(config))
    call, printing = Graph.__call__, False

    def allocated(find: Any) -> float:
        ms.runtime.synchronize()
        return float(find()) / 1e9

    def watched(graph: Graph, *inputs: Any) -> Any:
        start, launches = allocated(ms.runtime.memory_allocated), stand_ins.counts().launches
        ms.runtime.reset_peak_memory_stats()
        outputs = call(graph, *inputs)
        peak = allocated(ms.runtime.max_memory_allocated)
        if printing and not graph.name.startswith(("AdamW", "the gradients' norm")):
            print(f"{start:6.2f} {peak:6.2f} {stand_ins.counts().launches - launches:6d}  {graph.name}", flush=True)
        return outputs

    Graph.__call__ = watched  # type: ignore[assignment,method-assign]
    for num_objects in Rehearse.of(config).objects or [config.num_instances]:
        run = train(*padded_size(config), num_objects)
        for printing in (False, True):
            if printing:
                print(f"{num_objects} objects\n before   most launches", flush=True)
            run()


if __name__ == "__main__":
    main()
