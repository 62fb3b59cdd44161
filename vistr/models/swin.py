"""Swin (arXiv 2103.14030) as it is used for detection: feature maps of four strides, each with a norm of its own."""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops import constexpr

from vistr.layers.conv import add_bias
from vistr.layers.dropout import DropPath
from vistr.layers.linear import Linear
from vistr.layers.norm import LayerNorm
from vistr.layers.padding import inside_of, rows_inside, sizes_at, table_inside
from vistr.layers.parameters import normal
from vistr.layers.window_tables import window_tables
from vistr.layers.windows import MoveRows, WindowAttention
from vistr.models.backbones import HEAD_WIDTH, Swin
from vistr.runtime import backend

PATCH = 4


@constexpr
def full_sizes(n: int, height: int, width: int) -> Tensor:
    """The sizes of n pictures that fill their arrays: float32 `[n, 2]`."""
    return Tensor(np.tile(np.array([[height, width]], np.float32), (n, 1)))


@constexpr
def merge_tables(n: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The row of a map `[n, height, width]` of every quarter (across, down) of the rows of the map of half its sides,
    n * height * width where the map has ended; and the other way. int32 `[n*h2*w2*4]` and `[n*height*width]`."""
    half = (-(-height // 2), -(-width // 2))
    image, y, x, across, down = np.indices((n, *half, 2, 2))
    y, x = 2 * y + down, 2 * x + across
    rows = np.where((y < height) & (x < width), (image * height + y) * width + x, n * height * width)
    image, y, x = np.indices((n, height, width))
    back = (((image * half[0] + y // 2) * half[1] + x // 2) * 2 + x % 2) * 2 + y % 2
    return Tensor(rows.reshape(-1).astype(np.int32)), Tensor(back.reshape(-1).astype(np.int32))


class PatchConvolution(nn.Cell):
    """Convolution 4x4 of stride 4, `[N, H, W, 3] -> [N*h*w, C]`: images go on with zeros to whole patches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = normal((channels, PATCH, PATCH, 3), math.sqrt(1 / (3 * PATCH * PATCH)), "weight")
        self.bias = Parameter(np.zeros(channels, np.float32), name="bias")
        self.matmul_nt = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor) -> Tensor:
        n, height, width, colours = x.shape
        h, w = -(-height // PATCH), -(-width // PATCH)
        if height % PATCH:
            x = ops.concat((x, ops.zeros((n, h * PATCH - height, width, colours), x.dtype)), 1)
        if width % PATCH:
            x = ops.concat((x, ops.zeros((n, h * PATCH, w * PATCH - width, colours), x.dtype)), 2)
        patches = x.reshape(n, h, PATCH, w, PATCH * colours).transpose(0, 1, 3, 2, 4)
        weight = self.weight.astype(x.dtype).reshape(self.weight.shape[0], -1)
        return add_bias(self.matmul_nt(patches.reshape(n * h * w, -1), weight), self.bias)


class PatchEmbed(nn.Cell):
    """Images `[N, H, W, 3]`, zero where there is no picture, to the normalised rows of their patches, float32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj, self.norm = PatchConvolution(channels), LayerNorm(channels)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x).astype(ms.float32))


class PatchMerging(nn.Cell):
    """Rows of a map to rows of the map of half its sides: four neighbours, normalised together, become one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = LayerNorm(4 * channels)
        self.reduction = Linear(4 * channels, 2 * channels, has_bias=False, deviation=0.02)
        self.move = MoveRows(1)

    def construct(self, x: Tensor, table: Tensor, back: Tensor, like: Tensor) -> Tensor:
        quarters = self.move(x, table, back).reshape(-1, 4 * x.shape[1])
        return self.reduction(self.norm(quarters).astype(like.dtype)).astype(ms.float32)


class Gelu(nn.Cell):
    """`x * (1 + erf(x / sqrt(2))) / 2` (arXiv 1606.08415); its input alone is kept for the backward pass.

    MindSpore exports no Erf to ONNX: networks for that have a formula that is within 1.5e-7 of it (Abramowitz and
    Stegun, Handbook of Mathematical Functions, 7.1.26).
    """

    def __init__(self) -> None:
        super().__init__()
        self.erf, self.exp = ops.Erf(), ops.Exp()
        self.exports = backend.current() == "native"

    def construct(self, x: Tensor) -> Tensor:
        return x * self.normal_share(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        x = ops.depend(x, dout)
        density = self.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
        return (dout * (self.normal_share(x) + x * density),)

    def normal_share(self, x: Tensor) -> Tensor:
        """The share of a standard normal distribution below x."""
        if self.exports:
            return 0.5 + x / (ops.abs(x) + 1e-7) * self.half_of_erf(ops.abs(x) * math.sqrt(0.5))
        return self.erf(x * math.sqrt(0.5)) * 0.5 + 0.5

    def half_of_erf(self, x: Tensor) -> Tensor:
        """By the formula, of numbers that are not negative."""
        slower = x * 0.3275911 + 1
        t = slower / (slower * slower)  # "1 /" is a Reciprocal, which ONNX export lacks
        total = t * 1.061405429 - 1.453152027
        for factor in (1.421413741, -0.284496736, 0.254829592):
            total = total * t + factor
        return 0.5 - total * t * self.exp(x * x * -1.0) * 0.5


class Mlp(nn.Cell):
    """Two layers, the first four times as wide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = Linear(channels, 4 * channels, deviation=0.02)
        self.fc2 = Linear(4 * channels, channels, deviation=0.02)
        self.gelu = Gelu()

    def construct(self, x: Tensor) -> Tensor:
        return self.fc2(self.gelu(self.fc1(x)))


class SwinBlock(nn.Cell):
    """Attention within windows and two layers, each normalised before and added to rows `[R, C]`, which stay float32.

    `like` is of the precision to compute in, `paths [n, 2]` are the images' factors of the two branches.
    """

    def __init__(self, channels: int, num_heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(channels), LayerNorm(channels)
        self.attn, self.mlp = WindowAttention(channels, num_heads, window, shift), Mlp(channels)
        self.drop1, self.drop2 = DropPath(), DropPath()

    def construct(
        self, x: Tensor, table: Tensor, back: Tensor, kinds: Tensor, like: Tensor, paths: Tensor | None
    ) -> Tensor:
        seen = self.attn(self.norm1(x).astype(like.dtype), table, back, kinds).astype(ms.float32)
        x = x + (seen if paths is None else self.drop1(seen, paths[:, 0]))
        out = self.mlp(self.norm2(x).astype(like.dtype)).astype(ms.float32)
        return x + (out if paths is None else self.drop2(out, paths[:, 1]))


class SwinStage(nn.Cell):
    """The blocks of one stage, every second one's windows shifted, and the way to the next."""

    def __init__(self, channels: int, depth: int, window: int, *, merges: bool, recompute: bool) -> None:
        super().__init__()
        self.num_heads, self.window = channels // HEAD_WIDTH, window
        blocks = [SwinBlock(channels, self.num_heads, window, i % 2 * (window // 2)) for i in range(depth)]
        if recompute:
            for block in blocks:
                block.recompute()
        self.blocks = nn.CellList(blocks)
        if merges:
            self.downsample = PatchMerging(channels)

    def construct(
        self, x: Tensor, sizes: Tensor, height: int, width: int, like: Tensor, paths: tuple[Tensor, ...]
    ) -> Tensor:
        """Rows of maps `[n, height, width]` of pictures of `sizes [n, 2]`; `paths` are the blocks', or empty."""
        plain = window_tables(sizes, height, width, self.window, 0, self.num_heads)
        shifted = window_tables(sizes, height, width, self.window, self.window // 2, self.num_heads)
        for i, block in enumerate(self.blocks):
            tables = shifted if i % 2 else plain
            x = block(x, tables[0], tables[1], tables[2], like, paths[i] if paths else None)
        return x

    def merge(self, x: Tensor, sizes: Tensor, height: int, width: int, like: Tensor) -> Tensor:
        """Rows of the next stage's map."""
        table, back = merge_tables(sizes.shape[0], height, width)
        inside = inside_of(sizes, height, width)
        # No gradient goes to padding: what it would be read from is behind all rows.
        back = ops.gather(ops.concat((back, ops.fill(ms.int32, (1,), table.shape[0])), 0), rows_inside(inside)[:-1], 0)
        return self.downsample(x, table_inside(table, inside), back, like)


class SwinCell(nn.Cell):
    """Swin: `[N, H, W, 3]` to maps of strides 4, 8, 16 and 32. With `trainable` False all weights are kept.

    What a frozen stem keeps is the patches' and the first stage's; the norm of its map trains, and so the gradient is
    taken from the images on.
    """

    frozen_stem = False

    def __init__(self, settings: Swin, *, trainable: bool = True, recompute: bool = False) -> None:
        super().__init__()
        self.num_branches = 2 * sum(settings.depths)
        self.patch_embed = PatchEmbed(settings.embed_dim)
        stages = [
            SwinStage(channels, depth, settings.window, merges=i < 3, recompute=recompute)
            for i, (channels, depth) in enumerate(zip(settings.channels, settings.depths, strict=True))
        ]
        self.layers = nn.CellList(stages)
        self.depths = tuple(settings.depths)
        self.norm0, self.norm1, self.norm2, self.norm3 = (LayerNorm(channels) for channels in settings.channels)
        self.split_paths = ops.Split(1, sum(settings.depths))
        frozen: list[nn.Cell] = [self.patch_embed, stages[0]] if settings.frozen_stem else []
        for cell in frozen if trainable else [self]:
            for parameter in cell.get_parameters():
                parameter.requires_grad = False

    def construct(
        self, x: Tensor, sizes: Tensor | None = None, paths: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`sizes [N, 2]`: the pictures' height and width within the images; None: all of them. `paths [N, branches]`:
        the factors of every residual branch, None for ones."""
        n, height, width, _ = x.shape
        if sizes is None:
            sizes = full_sizes(n, height, width)
        by_block = () if paths is None else self.split_paths(paths)
        norms, like = (self.norm0, self.norm1, self.norm2, self.norm3), ops.zeros((1,), x.dtype)
        rows = self.patch_embed(x)
        maps: tuple[Tensor, ...] = ()
        first, stride = 0, PATCH
        for i, stage in enumerate(self.layers):
            h, w, within = -(-height // stride), -(-width // stride), sizes_at(sizes, stride)
            rows = stage(rows, within, h, w, like, by_block[first : first + self.depths[i]])
            maps = (*maps, norms[i](rows).astype(x.dtype).reshape(n, h, w, -1))
            if i < 3:
                rows = stage.merge(rows, within, h, w, like)
            first, stride = first + self.depths[i], 2 * stride
        return maps

    def calibrate(self, images: Tensor, sizes: Tensor | None = None) -> None:
        """Nothing: its norms have no statistics."""
