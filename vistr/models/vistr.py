"""VisTR (arXiv 2011.14503): a clip of frames to the logits, boxes and masks of its instance sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from vistr.device import use_device
from vistr.models.backbone import ResNet
from vistr.models.detector import Detector
from vistr.models.masks import Segmenter
from vistr.models.position import position_code, shrink_padding
from vistr.models.transformer import Transformer

if TYPE_CHECKING:
    from vistr.config import Config

BLOCKED = -1e9
PIXELS_A_CALL = 400_000


class Outputs(NamedTuple):
    """What the network says of B clips of T frames with N slots; query t * N + i is slot i in frame t."""

    logits: Tensor
    """`[B, T*N, C+1]`; index 0 is never used, the last is "no object"."""
    boxes: Tensor
    """`[B, T*N, 4]`: (cx, cy, w, h) in [0, 1]."""
    masks: Tensor
    """`[B, T*N, H/4, W/4]` (rounded up): logits."""
    aux_logits: Tensor
    """`[layers - 1, B, T*N, C+1]`: the earlier decoder layers'."""
    aux_boxes: Tensor
    """`[layers - 1, B, T*N, 4]`."""


class Context(NamedTuple):
    """What the host computes from a batch's padding: float32 arrays ready for the network."""

    position: Tensor
    """`[B, L, C]`, L = T*h*w."""
    blocked: Tensor
    """`[B, L]`: 0, or a large negative number at padding."""


class VisTR(nn.Cell):
    """The whole network. Call it with frames and padding, or use `detector` and `segmenter` one by one."""

    def __init__(
        self, detector: Detector, segmenter: Segmenter, *, channels: int, num_instances: int, stride: int
    ) -> None:
        super().__init__()
        self.detector = detector
        self.segmenter = segmenter
        self.channels, self.num_instances, self.stride = channels, num_instances, stride

        @ms.jit
        def detect(frames: Tensor, position: Tensor, blocked: Tensor) -> Any:
            logits, boxes, states, memory, stride4, stride8, stride16 = detector(frames, position, blocked, None)
            return logits, boxes, states, segmenter.of_frame(memory, (stride4, stride8, stride16))

        @ms.jit
        def segment(
            states: Tensor, blocked: Tensor, query_rows: Tensor, frame_rows: Tensor, keys: Tensor, *shared: Tensor
        ) -> Tensor:
            return segmenter((keys, *shared), states, blocked, query_rows, frame_rows)

        self.run_detect, self.run_segment = detect, segment

    def construct(self, frames: Tensor | np.ndarray, padding: Tensor | np.ndarray) -> Outputs:
        """Run the network without dropout.

        `frames [B, T, 3, H, W]` float32, normalised; `padding [B, T, H, W]` bool, True = padding. A clip's results
        do not depend on the other clips of the batch.
        """
        images, context = self.prepare(frames, padding)
        logits, boxes, states, shared = self.run_detect(images, context.position, context.blocked)
        batch, num_frames = np.shape(padding)[:2]
        num_queries = num_frames * self.num_instances
        blocked = context.blocked.reshape(batch * num_frames, -1)
        masks = self.masks(states.reshape(batch * num_queries, -1), blocked, shared, batch, num_frames)
        return Outputs(logits[-1], boxes[-1], masks, logits[:-1], boxes[:-1])

    def masks(self, states: Tensor, blocked: Tensor, shared: tuple[Tensor, ...], batch: int, num_frames: int) -> Tensor:
        """Masks of every slot, a few sequences a call so that memory stays bounded: `[B, T*N, H/4, W/4]`."""
        num_sequences = batch * self.num_instances
        height, width = shared[-1].shape[1:3]
        step = max(1, min(num_sequences, PIXELS_A_CALL // (num_frames * height * width)))
        sequences = np.arange(num_sequences)
        parts = []
        for start in range(0, num_sequences, step):
            chosen = sequences[np.minimum(np.arange(start, start + step), num_sequences - 1)]
            rows = image_rows(chosen, num_frames, self.num_instances)
            part = self.run_segment(states, blocked, *(Tensor(r) for r in rows), *shared).asnumpy()
            parts.append(part[: num_sequences - start])
        masks = np.concatenate(parts).reshape(batch, self.num_instances, num_frames, height, width)
        return Tensor(np.ascontiguousarray(masks.swapaxes(1, 2)).reshape(batch, -1, height, width))

    def prepare(self, frames: Tensor | np.ndarray, padding: Tensor | np.ndarray) -> tuple[Tensor, Context]:
        """Channels-last images `[B*T, H, W, 3]` and the context of their padding."""
        images = frames.asnumpy() if isinstance(frames, Tensor) else np.asarray(frames)
        mask = padding.asnumpy() if isinstance(padding, Tensor) else np.asarray(padding)
        batch, _, _, height, width = images.shape
        images = np.ascontiguousarray(images.transpose(0, 1, 3, 4, 2), np.float32).reshape(-1, height, width, 3)
        small = shrink_padding(mask.astype(bool), -(-height // self.stride), -(-width // self.stride))
        blocked = np.where(small, np.float32(BLOCKED), np.float32(0)).reshape(batch, -1)
        return Tensor(images), Context(Tensor(position_code(small, self.channels)), Tensor(blocked))


def image_rows(sequences: np.ndarray, num_frames: int, num_instances: int) -> tuple[np.ndarray, np.ndarray]:
    """Query row and frame row of every image of sequences numbered `clip * N + slot`: two int32 `[K, T]`."""
    clip, slot = sequences[:, None] // num_instances, sequences[:, None] % num_instances
    frames = clip * num_frames + np.arange(num_frames)
    return (frames * num_instances + slot).astype(np.int32), frames.astype(np.int32)


def build_model(config: Config, num_categories: int = 40) -> VisTR:
    """The network that `config` describes, on the device it names; weights drawn by `config.seed`.

    `num_categories` K gives K + 2 logits: index 0 is never used and the last means "no object", as in the original.
    """
    use_device(config.device.target, config.device.id)
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
    segmenter = Segmenter(transformer.hidden_dim, transformer.num_heads, backbone.channels)
    return VisTR(
        detector,
        segmenter,
        channels=transformer.hidden_dim,
        num_instances=config.num_instances,
        stride=16 if config.backbone.dilation else 32,
    )
