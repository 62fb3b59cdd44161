"""The network that a configuration describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from vistr.files import user_cache
from vistr.models.backbone import ResNet
from vistr.models.detector import Detector
from vistr.models.masks import Segmenter
from vistr.models.transformer import Transformer
from vistr.models.vistr import Precision, VisTR
from vistr.runtime import backend, gpu_runtime, parallel
from vistr.runtime.backend import Backend
from vistr.runtime.device import allow_tf32, use_device
from vistr.runtime.graph_cache import GraphCache

if TYPE_CHECKING:
    from vistr.config import Config


def build_model(config: Config, num_categories: int = 40, kernels: Backend | None = None) -> VisTR:
    """The network that `config` describes, on the device it names; weights drawn by `config.seed`.

    `num_categories` K gives K + 2 logits: index 0 is never used and the last means "no object", as in the original.
    `kernels` are the convolutions', where not those that suit the device.
    """
    graphs = graph_cache(config, num_categories, kernels)  # first: it chooses the device, and kernels with it
    use_device(config.device.target, config.device.id)
    allow_tf32(config.device.tf32)
    if kernels is not None:
        backend.use(kernels)
    np.random.seed(config.seed)
    transformer = config.transformer
    backbone = ResNet(
        config.backbone.name,
        dilation=config.backbone.dilation,
        frozen_stem=config.backbone.frozen_stem,
        trainable=config.optimizer.backbone_learning_rate > 0,
        recompute=config.device.recompute,
    )
    detector = Detector(
        backbone,
        Transformer(
            transformer.hidden_dim,
            transformer.num_heads,
            transformer.num_encoder_layers,
            transformer.num_decoder_layers,
            transformer.feedforward_dim,
            transformer.pre_norm,
            config.device.recompute,
        ),
        transformer.hidden_dim,
        config.num_frames * config.num_instances,
        num_categories + 2,
    )
    stride = 16 if config.backbone.dilation else 32
    segmenter = Segmenter(
        transformer.hidden_dim, transformer.num_heads, backbone.channels, config.sequence_head, stride
    )
    return VisTR(
        detector,
        segmenter,
        channels=transformer.hidden_dim,
        num_instances=config.num_instances,
        stride=stride,
        precision=cast(Precision, config.device.precision),
        limits=backend.limits(less_memory=config.device.recompute, half=config.device.precision == "fp16"),
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
