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

    from vistr.config.compose import load_config
    from vistr.data.buckets import padded
    from vistr.models.build import build_model
    from vistr.runtime.graph import Graph
    from vistr.tasks.settings import Rehearse
    from vistr.training.compile_ahead import empty_batch, marks_outside
    from vistr.training.parts import make_optimizer, step_noise
    from vistr.training.step import TrainingStep

    config = load_config(["task=rehearse", "device.target=gpu", "device.keep_graphs=false", *overrides])
    task, clips = Rehearse.of(config), config.training.batch_size
    model = build_model(config)
    step = TrainingStep(model, config.loss)
    optimizer = make_optimizer(config, model, step)
    height, width = (padded(side, config.dataset.evaluated_part.size_divisor) for side in (task.height, task.width))
    noise = step_noise(config, clips * config.num_frames, 0)
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
    for num_objects in task.objects or [config.num_instances]:
        batch = empty_batch(clips, config.num_frames, height, width, num_objects * clips, marks=marks_outside(config))
        for printing in (False, True):
            if printing:
                print(f"{num_objects} objects\n before   most launches", flush=True)
            result = step(batch, noise, None, config.device.first_loss_scale or 1.0)
            optimizer.step(result.gradients, config.optimizer.rates)
            del result


if __name__ == "__main__":
    main()
