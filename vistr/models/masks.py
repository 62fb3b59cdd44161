"""Masks of instance sequences: attention map, mask head, 3-D head (the paper's section 3.3).

All of it is split into what belongs to a frame, computed once, and what belongs to an instance in a frame. An
"image" below is one instance in one frame; `frame_rows [n]` names the frame (of B*T) behind every image.
"""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops import constexpr

from vistr.layers.conv import Conv2d, add_bias, convolution
from vistr.layers.conv3d import SequenceConv
from vistr.layers.deformable import DeformableConv, OffsetConv
from vistr.layers.linear import Linear
from vistr.layers.norm import GroupNorm
from vistr.layers.padding import inside_of, sizes_at
from vistr.layers.parameters import set_value, uniform
from vistr.layers.resize import resize_nearest
from vistr.models.settings import SEQUENCE_HEADS

# Initial weights, where the layers' own rules would leave the masks to learn next to nothing from random weights
# (docs/differences.md). An attention map sums to 1 over a frame: its values are thousandths where features are ones.
ATTENTION_GAIN = 1000.0
# Logits come from a handful of channels: they have to reach several units, and most pixels are background.
LOGIT_GAIN, LOGIT_PRIOR = 8.0, -3.0


def gather_frames(maps: Tensor, frame_rows: Tensor) -> Tensor:
    """Frames' maps `[B*T, ...]` repeated for images `[n, ...]`."""
    rows = ops.gather(maps.reshape(maps.shape[0], -1), frame_rows, 0)
    return rows.reshape(-1, *maps.shape[1:])


@constexpr
def head_membership(channels: int, num_heads: int) -> Tensor:
    """`[C, heads]`: 1 where the channel belongs to the head."""
    head = np.arange(channels) // (channels // num_heads)
    return Tensor((head[:, None] == np.arange(num_heads)).astype(np.float32))


class AttentionMap(nn.Cell):
    """Where in its frame each query looks: softmax over heads and positions together, `[n, h, w, heads]`."""

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_linear = Linear(channels, channels)
        self.k_linear = Linear(channels, channels)
        self.scale = 1 / math.sqrt(channels / num_heads)
        self.keys_by_queries = ops.BatchMatMul()

    def construct(self, queries: Tensor, keys: Tensor, key_padding_mask: Tensor) -> Tensor:
        """`queries [n, C]`, `keys [n, h, w, C]` already projected, `key_padding_mask [n, h*w]` additive."""
        n, h, w, channels = keys.shape
        query = (self.q_linear(queries) * self.scale).reshape(n, channels, 1)
        by_head = query * head_membership(channels, self.num_heads).astype(query.dtype)
        scores = self.keys_by_queries(keys.reshape(n, h * w, channels), by_head)
        scores = scores + key_padding_mask.reshape(n, h * w, 1).astype(scores.dtype)
        weights = ops.softmax(scores.reshape(n, -1).astype(ms.float32), -1)
        return weights.astype(keys.dtype).reshape(n, h, w, self.num_heads)


class SplitConv(nn.Cell):
    """3x3 convolution of `concat(frame, image)` as `convolve(frame) + convolve(image)`: the first once a frame.

    `image_gain` multiplies the initial weights of the second part.
    """

    def __init__(self, frame_channels: int, image_channels: int, image_gain: float) -> None:
        super().__init__()
        channels = frame_channels + image_channels
        self.frame_channels = frame_channels
        self.weight = uniform((channels, 3, 3, channels), math.sqrt(3 / (channels * 9)), "weight")
        gain = np.where(np.arange(channels) < frame_channels, 1, image_gain)
        set_value(self.weight, (self.weight.asnumpy() * gain).astype(np.float32))
        self.bias = Parameter(np.zeros(channels, np.float32), name="bias")
        self.run_frame = convolution(3, 1, 1, 1)
        self.run_image = convolution(3, 1, 1, 1)

    def of_frame(self, frames: Tensor, inside: Tensor | None = None) -> Tensor:
        weight = self.weight.astype(frames.dtype)[..., : self.frame_channels]
        return add_bias(self.run_frame(frames, weight, inside), self.bias)

    def of_image(self, images: Tensor) -> Tensor:
        """Of attention maps, which are zero at padding."""
        return self.run_image(images, self.weight.astype(images.dtype)[..., self.frame_channels :], None)


class MaskHead(nn.Cell):
    """Attention maps, of `stride`, refined by the backbone's maps, coarse to fine: `[n, H/4, W/4, C/16]`.

    `bias`: the last convolution has one, as DETR's; VisTR's has none.
    """

    def __init__(
        self, channels: int, num_heads: int, stage_channels: list[int], stride: int = 32, *, bias: bool = False
    ) -> None:
        super().__init__()
        self.stride = stride
        widths = [channels // 2, channels // 4, channels // 8, channels // 16]
        self.lay1 = SplitConv(channels, num_heads, ATTENTION_GAIN)
        self.lay2 = Conv2d(channels + num_heads, widths[0], 3)
        self.lay3 = Conv2d(widths[0], widths[1], 3)
        self.lay4 = Conv2d(widths[1], widths[2], 3)
        self.gn1, self.gn2 = GroupNorm(8, channels + num_heads), GroupNorm(8, widths[0])
        self.gn3, self.gn4, self.gn5 = GroupNorm(8, widths[1]), GroupNorm(8, widths[2]), GroupNorm(8, widths[3])
        self.adapter1 = Conv2d(stage_channels[2], widths[0])
        self.adapter2 = Conv2d(stage_channels[1], widths[1])
        self.adapter3 = Conv2d(stage_channels[0], widths[2])
        self.conv_offset = OffsetConv(widths[2])
        self.dcn = DeformableConv(widths[2], widths[3], bias=bias)

    def adapt(self, stride4: Tensor, stride8: Tensor, stride16: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The backbone's maps as the head adds them, the coarsest first."""
        return self.adapter1(stride16), self.adapter2(stride8), self.adapter3(stride4)

    def construct(
        self,
        attention: Tensor,
        shared: tuple[Tensor, Tensor, Tensor, Tensor],
        frame_rows: Tensor,
        sizes: Tensor | None = None,
    ) -> Tensor:
        """`sizes [n, 2]`: the images' height and width before padding, at the size of the network's input."""
        at = self.sizes_of_maps(sizes)
        x = self.lay1.of_image(attention) + gather_frames(shared[0], frame_rows)
        inside = inside_of(at[0], x.shape[1], x.shape[2])
        x = ops.relu(self.gn1(x, inside))
        x = ops.relu(self.gn2(self.lay2(x, inside), inside))
        x = self.refine(x, shared[1], frame_rows, at[0], at[1])
        inside = inside_of(at[1], x.shape[1], x.shape[2])
        x = ops.relu(self.gn3(self.lay3(x, inside), inside))
        x = self.refine(x, shared[2], frame_rows, at[1], at[2])
        inside = inside_of(at[2], x.shape[1], x.shape[2])
        x = ops.relu(self.gn4(self.lay4(x, inside), inside))
        x = self.refine(x, shared[3], frame_rows, at[2], at[3])
        inside = inside_of(at[3], x.shape[1], x.shape[2])
        dy, dx = self.conv_offset(x)
        return ops.relu(self.gn5(self.dcn(x, dy, dx, at[3]), inside))

    def sizes_of_maps(self, sizes: Tensor | None) -> tuple[Tensor | None, ...]:
        """The sizes at every stride the head works at, the coarsest first."""
        return sizes_at(sizes, self.stride), sizes_at(sizes, 16), sizes_at(sizes, 8), sizes_at(sizes, 4)

    def refine(
        self, x: Tensor, finer: Tensor, frame_rows: Tensor, sizes: Tensor | None, new_sizes: Tensor | None
    ) -> Tensor:
        wide = resize_nearest(x, finer.shape[1], finer.shape[2], sizes, new_sizes)
        return gather_frames(finer, frame_rows) + wide


class SequenceHead(nn.Cell):
    """3-D convolutions over each instance's sequence: `[K, T, h, w, C] -> [K, T, h, w]` logits.

    `inside [K*T, h, w]` is 0 at padding.
    """

    def __init__(self, in_channels: int, kind: str = "dilated") -> None:
        super().__init__()
        width = in_channels // 2
        kernel, dilation = SEQUENCE_HEADS[kind]
        self.conv1, self.gn1 = SequenceConv(in_channels, width, dilation, kernel), GroupNorm(4, width)
        self.conv2, self.gn2 = SequenceConv(width, width, dilation, kernel), GroupNorm(4, width)
        self.conv3, self.gn3 = SequenceConv(width, width, dilation, kernel), GroupNorm(4, width)
        self.out = Linear(width, 1)
        set_value(self.out.weight, self.out.weight.asnumpy() * np.float32(LOGIT_GAIN))
        set_value(self.out.bias, np.full(1, LOGIT_PRIOR, np.float32))

    def construct(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        x = ops.relu(self.gn1(self.conv1(x, inside), inside))
        x = ops.relu(self.gn2(self.conv2(x, inside), inside))
        x = ops.relu(self.gn3(self.conv3(x, inside), inside))
        return self.out(x).reshape(x.shape[:-1])


class Segmenter(nn.Cell):
    """Masks of chosen instance sequences only: training reads the matched slots, and no others are computed.

    `from_input`: the mask head is DETR's, which reads the encoder's input where VisTR's reads the memory.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        stage_channels: list[int],
        sequence_head: str = "dilated",
        stride: int = 32,
        *,
        from_input: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.from_input = stride, from_input
        self.bbox_attention = AttentionMap(channels, num_heads)
        self.mask_head = MaskHead(channels, num_heads, stage_channels, stride, bias=from_input)
        self.insmask_head = SequenceHead(channels // 16, sequence_head)

    def shared_parameters(self) -> list[Parameter]:
        """The trainable parameters of what all instances share: of `shared_by_frame` and of the adapters."""
        head = self.mask_head
        cells = (self.bbox_attention.k_linear, head.adapter1, head.adapter2, head.adapter3, head.lay1)
        return [p for cell in cells for p in cell.trainable_params()]

    def instance_parameters(self) -> list[Parameter]:
        """The trainable parameters of what follows; the weights of the head's first layer are in both lists."""
        shared = {p.name for p in self.shared_parameters()} - {self.mask_head.lay1.weight.name}
        return [p for p in self.trainable_params() if p.name not in shared]

    def shared_by_frame(self, memory: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features that all instances of a frame share, from the detector's `memory [B*T, h, w, ...]`: two maps."""
        inside = inside_of(sizes_at(sizes, self.stride), memory.shape[1], memory.shape[2])
        keys, features = ops.Split(3, 2)(memory) if self.from_input else (memory, memory)
        return self.bbox_attention.k_linear(keys), self.mask_head.lay1.of_frame(features, inside)

    def construct(
        self,
        shared: tuple[Tensor, ...],
        states: Tensor,
        key_padding_mask: Tensor,
        sizes: Tensor | None,
        query_rows: Tensor,
        frame_rows: Tensor,
    ) -> Tensor:
        """Mask logits, float32 `[K, T, H/4, W/4]` of K sequences.

        `shared` is what `shared_by_frame` gives, then what `mask_head.adapt` gives; `states [B*T*N, C]` are the last
        decoder states; `key_padding_mask [B*T, h*w]`; `sizes [B*T, 2]` the frames' height and width before padding;
        `query_rows`, `frame_rows` int32 `[K, T]` the query and frame of every image.
        """
        num_sequences, num_frames = query_rows.shape
        frames = frame_rows.reshape(-1)
        queries = ops.gather(states, query_rows.reshape(-1), 0)
        keys = gather_frames(shared[0], frames)
        attention = self.bbox_attention(queries, keys, ops.gather(key_padding_mask, frames, 0))
        of_images = None if sizes is None else ops.gather(sizes, frames, 0)
        x = self.mask_head(attention, shared[1:], frames, of_images)
        inside = inside_of(sizes_at(of_images, 4), x.shape[1], x.shape[2])
        x = x.reshape(num_sequences, num_frames, *x.shape[1:])
        return self.insmask_head(x, inside).astype(ms.float32)
