"""The network that a configuration describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from vistr.files import user_cache
from vistr.layers.parameters import drawing
from vistr.models.detector import Detector
from vistr.models.masks import Segmenter
from vistr.models.vistr import Precision, VisTR
from vistr.runtime import backend, gpu_runtime, parallel
from vistr.runtime.backend import Backend
from vistr.runtime.device import allow_tf32, use_device
from vistr.runtime.graph_cache import GraphCache

if TYPE_CHECKING:
    from vistr.config import Config


def build_model(
    config: Config, num_categories: int = 40, kernels: Backend | None = None, *, drawn: bool = True
) -> VisTR:
    """The network that `config` describes, on the device it names; weights drawn by `config.seed`, or zero.

    `num_categories` K gives K + 2 logits: index 0 is never used and the last means "no object", as in the original.
    `kernels` are the convolutions', where not those that suit the device.
    """
    graphs = graph_cache(config, num_categories, kernels)  # first: it chooses the device, and kernels with it
    use_device(config.device.target, config.device.id)
    allow_tf32(config.device.tf32)
    if kernels is not None:
        backend.use(kernels)
    backbone, transformer, recompute = config.backbone, config.transformer, config.device.recompute
    with drawing(config.seed if drawn else None):
        detector = Detector(
            backbone.build(trainable=config.optimizer.backbone_learning_rate > 0, recompute=recompute),
            transformer.build(num_frames=config.num_frames, recompute=recompute),
            in_channels=backbone.channels[3],
            channels=transformer.hidden_dim,
            num_queries=config.num_frames * config.num_instances,
            num_logits=num_categories + 2,
            masks_from_input=transformer.masks_from_input,
        )
        segmenter = Segmenter(
            transformer.hidden_dim,
            transformer.num_heads,
            backbone.channels,
            config.sequence_head,
            backbone.stride,
            from_input=transformer.masks_from_input,
        )
    return VisTR(
        detector,
        segmenter,
        channels=transformer.hidden_dim,
        position_axes=transformer.position_axes,
        num_instances=config.num_instances,
        stride=backbone.stride,
        precision=cast(Precision, config.device.precision),
        limits=backend.limits(less_memory=recompute, half_precision=config.device.precision == "fp16"),
        graphs=graphs,
    )


def graph_cache(config: Config, num_categories: int, kernels: Backend | None = None) -> GraphCache | None:
    """Where the compiled graphs of the network, and of its training, are kept; None where they are not."""
    device = config.device
    if not device.keep_graphs:
        return None
    on_gpu = use_device(device.target, device.id) == "GPU"
    settings = (
        gpu_runtime.gpu_name(device.id + parallel.local_rank()) if on_gpu else "CPU",
        config.backbone,
        config.optimizer.backbone_learning_rate > 0,
        config.transformer,
        config.loss,
        (config.num_frames, config.num_instances, config.sequence_head, num_categories),
        (device.precision, device.recompute, kernels),
    )
    return GraphCache(user_cache() / "graphs", settings)
