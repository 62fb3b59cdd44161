"""VisTR (arXiv 2011.14503): a clip of frames to the logits, boxes and masks of its instance sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from mindspore import Tensor, nn, ops

from vistr.models.detector import Detector
from vistr.models.masks import Segmenter
from vistr.models.pixels import make_images
from vistr.models.position import padding_of_map, position_code
from vistr.runtime import backend
from vistr.runtime.backend import Limits
from vistr.runtime.graph import Graph
from vistr.runtime.graph_cache import GraphCache

# Of a size that half precision has: what it is added to vanishes beside it, and so does its exponential.
MASKED = -3e4


Precision = Literal["fp32", "fp16"]
DTYPES: dict[Precision, type[np.floating]] = {"fp32": np.float32, "fp16": np.float16}


class Outputs(NamedTuple):
    """Output of the network for B clips of T frames with N slots; query t * N + i is slot i in frame t."""

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
    """Arrays that the host computes from a batch's padding, in the network's precision."""

    position: Tensor
    """`[B, L, C]`, L = T*h*w."""
    key_padding_mask: Tensor
    """`[B, L]`: 0, or a large negative number at padding."""
    sizes: Tensor
    """float32 `[B*T, 2]`: every frame's height and width before padding."""

    def padding_mask_by_frame(self, num_frames: int) -> Tensor:
        """`key_padding_mask` as `[B*T, h*w]`."""
        return self.key_padding_mask.reshape(self.key_padding_mask.shape[0] * num_frames, -1)


class Detection(NamedTuple):
    """Output of the detector, before the masks, for all L decoder layers."""

    logits: Tensor
    """`[L, B, T*N, C+1]`."""
    boxes: Tensor
    """`[L, B, T*N, 4]`."""
    states: Tensor
    """`[B*T*N, channels]`: the last decoder layer's."""
    memory: Tensor
    """`[B*T, h, w, channels]`: the encoder's."""
    maps: tuple[Tensor, ...]
    """The backbone's, of strides 4, 8, 16 and 32."""


class VisTR(nn.Cell):
    """The whole network. Call it with frames and padding, or use `detector` and `segmenter` one by one."""

    def __init__(
        self,
        detector: Detector,
        segmenter: Segmenter,
        *,
        channels: int,
        position_axes: tuple[int, ...] = (1, 2, 3),
        num_instances: int,
        stride: int,
        precision: Precision = "fp32",
        limits: Limits | None = None,
        graphs: GraphCache | None = None,
    ) -> None:
        super().__init__()
        self.detector = detector
        self.segmenter = segmenter
        self.channels, self.num_instances, self.stride = channels, num_instances, stride
        self.position_axes = position_axes
        self.limits = limits or backend.limits()
        # Every layer computes in the precision of what it is given; parameters are float32 throughout.
        self.dtype = DTYPES[precision]

        def backbone(images: Tensor, sizes: Tensor, *paths: Tensor) -> Any:
            return detector.backbone(images, sizes, *paths)

        def detect(stride32: Tensor, position: Tensor, key_padding_mask: Tensor, noise: Tensor | None) -> Any:
            return detector(stride32, position, key_padding_mask, noise)

        def adapt(stride4: Tensor, stride8: Tensor, stride16: Tensor) -> Any:
            return segmenter.mask_head.adapt(stride4, stride8, stride16)

        def share(memory: Tensor, sizes: Tensor) -> Any:
            return segmenter.shared_by_frame(memory, sizes)

        def segment(
            states: Tensor,
            key_padding_mask: Tensor,
            sizes: Tensor,
            query_rows: Tensor,
            frame_rows: Tensor,
            *shared: Tensor,
        ) -> Tensor:
            return segmenter(shared, states, key_padding_mask, sizes, query_rows, frame_rows)

        self.graphs = graphs
        weights = list(self.get_parameters())
        self.run_backbone = Graph("the backbone", backbone, weights, graphs)
        self.run_detect = Graph("the transformer", detect, weights, graphs)
        self.run_adapt = Graph("the masks' adapters", adapt, weights, graphs)
        self.run_share = Graph("the masks' shared part", share, weights, graphs)
        self.run_segment = Graph("the masks", segment, weights, graphs)

    def construct(self, frames: Tensor | np.ndarray, padding: Tensor | np.ndarray) -> Outputs:
        """Run the network without dropout.

        `frames [B, T, 3, H, W]` float32, normalised, or `[B, T, H, W, 3]` uint8 RGB; `padding [B, T, H, W]` bool,
        True = padding, at the bottom and the right of a clip's frames alike. A clip's results depend neither on it nor
        on the other clips of the batch.
        """
        images, context = self.prepare(frames, padding)
        batch, num_frames = np.shape(padding)[:2]
        # The adapters take the maps' place group by group: those of a long clip are a gigabyte.
        parts = []
        for group in self.backbone_inputs(images, context):
            *maps, stride32 = self.run_backbone(*group)
            parts.append((*self.run_adapt(*maps), stride32))
        *adapted, stride32 = join(parts, images.shape[0])
        logits, boxes, states, memory = self.run_detect(stride32, context.position, context.key_padding_mask, None)
        shared = (*self.run_share(memory, context.sizes), *adapted)
        states = states.reshape(-1, states.shape[-1])
        masks = self.masks(states, context, shared, batch, num_frames)
        return Outputs(logits[-1], boxes[-1], masks, logits[:-1], boxes[:-1])

    def detect(self, images: Tensor, context: Context, noise: Tensor | None, paths: Tensor | None = None) -> Detection:
        """Everything but the masks, as training needs it; `noise` is the step's dropout pool, `paths` are the factors
        of the backbone's branches."""
        groups = self.backbone_inputs(images, context, paths)
        maps = join([self.run_backbone(*group) for group in groups], images.shape[0])
        logits, boxes, states, memory = self.run_detect(maps[3], context.position, context.key_padding_mask, noise)
        return Detection(logits, boxes, states.reshape(-1, states.shape[-1]), memory, maps)

    def backbone_inputs(
        self, images: Tensor, context: Context, paths: Tensor | None = None
    ) -> Iterator[tuple[Tensor, ...]]:
        """Images, their sizes and, if there are any, their branches' factors, a few frames at a time."""
        size, inputs = self.frames_a_call(images), (images, context.sizes, *(() if paths is None else (paths,)))
        return zip(*(frame_chunks(some, size) for some in inputs), strict=True)

    def frames_a_call(self, images: Tensor) -> int:
        """How many of the images `[n, H, W, 3]` go through the backbone together, groups being of one size."""
        n, height, width = (int(side) for side in images.shape[:3])
        num_chunks = min(n, -(-n * height * width // self.limits.backbone_pixels))
        return -(-n // num_chunks)

    def masks(
        self, states: Tensor, context: Context, shared: tuple[Tensor, ...], batch: int, num_frames: int
    ) -> Tensor:
        """Masks of every slot, a few sequences a call so that memory stays bounded: `[B, T*N, H/4, W/4]`."""
        num_sequences = batch * self.num_instances
        height, width = shared[-1].shape[1:3]
        step = max(1, min(num_sequences, self.limits.mask_pixels // (num_frames * height * width)))
        sequences = np.arange(num_sequences)
        by_frame = (context.padding_mask_by_frame(num_frames), context.sizes)
        parts = []
        for start in range(0, num_sequences, step):
            chosen = sequences[np.minimum(np.arange(start, start + step), num_sequences - 1)]
            rows = image_rows(chosen, num_frames, self.num_instances)
            part = self.run_segment(states, *by_frame, *(Tensor(r) for r in rows), *shared).asnumpy()
            parts.append(part[: num_sequences - start])
        masks = np.concatenate(parts).reshape(batch, self.num_instances, num_frames, height, width)
        return Tensor(np.ascontiguousarray(masks.swapaxes(1, 2)).reshape(batch, -1, height, width))

    def prepare(self, frames: Tensor | np.ndarray, padding: Tensor | np.ndarray) -> tuple[Tensor, Context]:
        """Channels-last images `[B*T, H, W, 3]`, in the network's precision, and the context of their padding."""
        pixels = frames.asnumpy() if isinstance(frames, Tensor) else np.asarray(frames)
        mask = (padding.asnumpy() if isinstance(padding, Tensor) else np.asarray(padding)).astype(bool, copy=False)
        batch, num_frames, height, width = mask.shape
        images = make_images(pixels, mask, self.dtype)
        # Padding is the same in all frames, below and at the right: one size says it.
        sizes = np.stack([(~mask[:, 0, :, 0]).sum(1), (~mask[:, 0, 0, :]).sum(1)], 1)
        small = padding_of_map(sizes, self.stride, num_frames, -(-height // self.stride), -(-width // self.stride))
        key_padding_mask = np.where(small, MASKED, 0).astype(self.dtype).reshape(batch, -1)
        position = position_code(small, self.channels, self.position_axes).astype(self.dtype, copy=False)
        frame_sizes = np.repeat(sizes, num_frames, 0).astype(np.float32)
        return images, Context(Tensor(position), Tensor(key_padding_mask), Tensor(frame_sizes))


def frame_chunks(frames: Tensor, size: int) -> Iterator[Tensor]:
    """Frames `[n, ...]` in groups of `size`, each made when it is asked for: the backbone's memory does not grow with
    the clip, and one graph serves all. The last group repeats the last frame where that is needed."""
    n = frames.shape[0]
    if size == n:
        yield frames
        return
    rows = np.minimum(np.arange(-(-n // size) * size, dtype=np.int32), n - 1)
    for start in range(0, len(rows), size):
        yield ops.gather(frames, Tensor(rows[start : start + size]), 0)


def join(parts: list[Any], length: int) -> tuple[Tensor, ...]:
    """Groups of several maps to the maps of all frames; empties the list."""
    if len(parts) == 1:
        return tuple(parts[0])
    maps = tuple(ops.concat(same, 0)[:length] for same in zip(*parts, strict=True))
    parts.clear()
    return maps


def image_rows(sequences: np.ndarray, num_frames: int, num_instances: int) -> tuple[np.ndarray, np.ndarray]:
    """Query row and frame row of every image of sequences numbered `clip * N + slot`: two int32 `[K, T]`."""
    clip, slot = sequences[:, None] // num_instances, sequences[:, None] % num_instances
    frames = clip * num_frames + np.arange(num_frames)
    return (frames * num_instances + slot).astype(np.int32), frames.astype(np.int32)
