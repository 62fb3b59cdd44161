"""ResNet (arXiv 1512.03385) with frozen BatchNorm, as feature maps of four strides."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from vistr.layers.conv import ConvNorm
from vistr.layers.padding import inside_of, sizes_at, table_inside
from vistr.layers.tables import out_size, pool_table
from vistr.models.backbones import ResNet


class BasicBlock(nn.Cell):
    """Two 3x3 convolutions and a shortcut (R18, R34); `inside` is 0 at the input's padding, or the output's."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, width, 3, stride, dilation)
        self.conv2 = ConvNorm(width, width, 3)
        self.shortcut = stride != 1 or in_channels != width
        if self.shortcut:
            self.downsample = ConvNorm(in_channels, width, 1, stride)

    def construct(self, x: Tensor, inside: Tensor | None = None, inside_after: Tensor | None = None) -> Tensor:
        out = self.conv2(ops.relu(self.conv1(x, inside)), inside_after)
        return ops.relu(out + (self.downsample(x, inside) if self.shortcut else x))


class Bottleneck(nn.Cell):
    """1x1, 3x3 (which carries the stride) and 1x1 convolutions and a shortcut (R50, R101); `inside` as above."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, width, 1)
        self.conv2 = ConvNorm(width, width, 3, stride, dilation)
        self.conv3 = ConvNorm(width, 4 * width, 1)
        self.shortcut = stride != 1 or in_channels != 4 * width
        if self.shortcut:
            self.downsample = ConvNorm(in_channels, 4 * width, 1, stride)

    def construct(self, x: Tensor, inside: Tensor | None = None, inside_after: Tensor | None = None) -> Tensor:
        out = self.conv2(ops.relu(self.conv1(x, inside)), inside)
        out = self.conv3(ops.relu(out), inside_after)
        return ops.relu(out + (self.downsample(x, inside) if self.shortcut else x))


class MaxPool(nn.Cell):
    """3x3 maximum with stride 2 over `[N, H, W, C]`, values not negative (it follows a ReLU)."""

    def construct(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        # Along the width, then along the height: six reads of every output instead of nine. What the first reads of
        # padding, also below the picture, is zero.
        n, h, w, channels = x.shape
        out_h, out_w = out_size(h, 3, 2, 1, 1), out_size(w, 3, 2, 1, 1)
        wide = self.along(x.reshape(n * h, w, 1, channels), out_w, inside)
        return self.along(wide.reshape(n, h, out_w, channels), out_h, None).reshape(n, out_h, out_w, channels)

    def along(self, x: Tensor, out_length: int, inside: Tensor | None) -> Tensor:
        """Maximum of three along the second axis of `[N, L, M, C]`."""
        rows = ops.concat((x.reshape(-1, x.shape[3]), ops.zeros((1, x.shape[3]), x.dtype)), 0)
        out = self.read(x, rows, out_length, 0, inside)
        out = ops.maximum(out, self.read(x, rows, out_length, 1, inside))
        return ops.maximum(out, self.read(x, rows, out_length, 2, inside))

    def read(self, x: Tensor, rows: Tensor, out_length: int, tap: int, inside: Tensor | None) -> Tensor:
        table = pool_table(x.shape[0], x.shape[1], x.shape[2], out_length, tap)
        return ops.gather(rows, table_inside(table, inside), 0)


class ResNetCell(nn.Cell):
    """A ResNet: `[N, H, W, 3]` to the four stages' maps, strides 4, 8, 16, 32 (the last 16 if dilated).

    Every BatchNorm is frozen, and so are conv1 and layer1 with `frozen_stem`; with `trainable` False all of it is.
    """

    def __init__(self, settings: ResNet, *, trainable: bool = True, recompute: bool = False) -> None:
        super().__init__()
        layout = settings.layout
        block = Bottleneck if layout.bottleneck else BasicBlock
        frozen_stem, dilation = settings.frozen_stem, settings.dilation
        self.frozen_stem, self.dilation = frozen_stem, dilation
        self.conv1 = ConvNorm(3, layout.width, 7, 2, of_image=True)
        self.pool = MaxPool()
        in_channels = layout.width
        for i, (num_blocks, out_channels) in enumerate(zip(layout.blocks, layout.channels, strict=True)):
            stride = 1 if i == 0 or (i == 3 and dilation) else 2
            blocks = [block(in_channels, layout.width * 2**i, stride, 1)]
            in_channels = out_channels
            inner = 2 if i == 3 and dilation else 1
            blocks += [block(in_channels, layout.width * 2**i, 1, inner) for _ in range(num_blocks - 1)]
            if recompute and i > 0:
                for cell in blocks:
                    cell.recompute()
            self.insert_child_to_cell(f"layer{i + 1}", nn.CellList(blocks))
        frozen = [self.conv1, self.layer1] if frozen_stem else []
        if not trainable:
            frozen = [self]
        for cell in frozen:
            for parameter in cell.get_parameters():
                parameter.requires_grad = False

    def construct(self, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`sizes [N, 2]`: the pictures' height and width within the images; None: all of them."""
        stride4 = self.stem(x, sizes)
        return (stride4, *self.stages(stride4, sizes))

    def stem(self, x: Tensor, sizes: Tensor | None) -> Tensor:
        """Images to the first stage's map, stride 4."""
        x = ops.relu(self.conv1(x, inside_of(sizes, x.shape[1], x.shape[2])))
        x = self.pool(x, inside_of(sizes_at(sizes, 2), x.shape[1], x.shape[2]))
        inside = inside_of(sizes_at(sizes, 4), x.shape[1], x.shape[2])
        for block in self.layer1:
            x = block(x, inside, inside)
        return x

    def stages(self, stride4: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The first stage's map to the others'."""
        stride8 = self.stage(self.layer2, stride4, sizes, 4, 8)
        stride16 = self.stage(self.layer3, stride8, sizes, 8, 16)
        return stride8, stride16, self.stage(self.layer4, stride16, sizes, 16, 16 if self.dilation else 32)

    def stage(self, blocks: nn.CellList, x: Tensor, sizes: Tensor | None, stride: int, new_stride: int) -> Tensor:
        """One stage, whose first block goes from one stride to the other."""
        inside = inside_of(sizes_at(sizes, stride), x.shape[1], x.shape[2])
        step = new_stride // stride
        after = inside_of(sizes_at(sizes, new_stride), -(-x.shape[1] // step), -(-x.shape[2] // step))
        for block in blocks:
            x = block(x, inside, after)
            inside = after
        return x

    def calibrate(self, images: Tensor, sizes: Tensor | None = None) -> None:
        """Set every frozen BatchNorm's statistics to those of `images [N, H, W, 3]`.

        The pictures in them are of `sizes [N, 2]`. Random weights have no statistics: without this, activations grow
        from block to block.
        """
        layers = [cell for _, cell in self.cells_and_names() if isinstance(cell, ConvNorm)]
        for layer in layers:
            layer.calibrating = True
        self(images.astype(ms.float32), sizes)
        for layer in layers:
            layer.calibrating = False
