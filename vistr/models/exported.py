"""The whole network at one clip size as one cell, to be written to a file that runs without this package."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops

from vistr.models.vistr import VisTR, image_rows


class FixedNetwork(nn.Cell):
    """Frames `[1, T, 3, H, W]` to logits `[1, T*N, C+1]`, boxes `[1, T*N, 4]` and masks `[1, T*N, H/4, W/4]`.

    As `VisTR` without padding: every frame fills its `height` x `width` pixels. Frames and instance sequences are
    taken a few at a time, as there, so that memory stays bounded.
    """

    def __init__(self, model: VisTR, num_frames: int, height: int, width: int) -> None:
        super().__init__(auto_prefix=False)
        self.detector, self.segmenter = model.detector, model.segmenter
        self.num_instances = model.num_instances
        clip = np.zeros((1, num_frames, 3, height, width), np.float32)
        images, context = model.prepare(clip, np.zeros((1, num_frames, height, width), bool))
        self.position, self.key_padding_mask = context.position, context.key_padding_mask
        self.padding_mask_by_frame = context.padding_mask_by_frame(num_frames)
        self.frame_step = model.frames_a_call(images)
        pixels = num_frames * -(-height // 4) * -(-width // 4)
        step = max(1, model.limits.mask_pixels // pixels)
        groups = [np.arange(i, min(i + step, self.num_instances)) for i in range(0, self.num_instances, step)]
        rows = [image_rows(group, num_frames, self.num_instances) for group in groups]
        self.query_rows = tuple(Tensor(queries) for queries, _ in rows)
        self.frame_rows = tuple(Tensor(frames) for _, frames in rows)

    def construct(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        num_frames, height, width = frames.shape[1], frames.shape[3], frames.shape[4]
        images = frames.reshape(num_frames, 3, height, width).transpose(0, 2, 3, 1)
        first: tuple[Tensor, ...] = ()
        second: tuple[Tensor, ...] = ()
        third: tuple[Tensor, ...] = ()
        last: tuple[Tensor, ...] = ()
        for start in range(0, num_frames, self.frame_step):
            stride4, stride8, stride16, stride32 = self.detector.backbone(images[start : start + self.frame_step])
            adapted = self.segmenter.mask_head.adapt(stride4, stride8, stride16)
            first, second, third = (*first, adapted[0]), (*second, adapted[1]), (*third, adapted[2])
            last = (*last, stride32)
        logits, boxes, states, memory = self.detector(self.join(last), self.position, self.key_padding_mask, None)
        shared = (*self.segmenter.shared_by_frame(memory, None), self.join(first), self.join(second), self.join(third))
        states = states.reshape(-1, states.shape[2])
        sequences: tuple[Tensor, ...] = ()
        for i in range(len(self.query_rows)):
            rows = (self.query_rows[i], self.frame_rows[i])
            sequences = (*sequences, self.segmenter(shared, states, self.padding_mask_by_frame, None, rows[0], rows[1]))
        masks = self.join(sequences).transpose(1, 0, 2, 3)
        masks = masks.reshape(1, num_frames * self.num_instances, masks.shape[2], masks.shape[3])
        return logits[logits.shape[0] - 1], boxes[boxes.shape[0] - 1], masks

    def join(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Groups along the first axis as one."""
        return parts[0] if len(parts) == 1 else ops.concat(parts, 0)
