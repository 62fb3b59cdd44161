"""What the network has to compute, counted from its sizes; one multiply-add is 2 FLOP."""

from __future__ import annotations

from dataclasses import dataclass

from vistr.models.backbone import BLOCKS
from vistr.models.masks import SEQUENCE_HEADS

MAPS = tuple[int, int]


@dataclass(frozen=True)
class NetworkSize:
    """The numbers that say how much a network computes; `height` and `width` are the frames', unpadded."""

    backbone: str
    num_frames: int
    height: int
    width: int
    hidden_dim: int = 384
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    feedforward_dim: int = 2048
    num_heads: int = 8
    num_instances: int = 10
    num_logits: int = 42
    dilation: bool = False
    sequence_head: str = "dilated"


def count_gflop(size: NetworkSize) -> dict[str, float]:
    """GFLOP of one clip: backbone, transformer, mask_head, sequence_head (3-D), rest and total.

    Counted is the original's formulation, whatever this implementation saves: every slot's mask is computed, and the
    mask head's first convolution anew for each slot. Rates from these counts compare with the original's. `rest` is
    the input projection, the attention maps and the class and box heads; normalisation, activations, softmax and
    resizing are left out.
    """
    channels, maps, backbone = _backbone(size)
    parts = {
        "backbone": size.num_frames * backbone,
        "transformer": _transformer(size, maps[3]),
        "mask_head": _mask_head(size, channels, maps),
        "sequence_head": _sequence_head(size, maps[0]),
        "rest": _rest(size, channels[3], maps[3]),
    }
    gflop = {name: flop / 1e9 for name, flop in parts.items()}
    return {**gflop, "total": sum(gflop.values())}


def _half(maps: MAPS) -> MAPS:
    return -(-maps[0] // 2), -(-maps[1] // 2)


def _conv(in_channels: int, out_channels: int, kernel: int, maps: MAPS) -> int:
    return 2 * in_channels * out_channels * kernel * kernel * maps[0] * maps[1]


def _backbone(size: NetworkSize) -> tuple[list[int], list[MAPS], int]:
    """Channels and map sizes of the four stages, and the FLOP of one frame."""
    bottleneck = size.backbone in ("r50", "r101")
    stem = 32 if size.backbone == "r10" else 64
    before = _half((size.height, size.width))
    flop, in_channels = _conv(3, stem, 7, before), stem
    before = _half(before)
    channels, maps = [], []
    for stage, num_blocks in enumerate(BLOCKS[size.backbone]):
        width = stem * 2**stage
        out_channels = width * (4 if bottleneck else 1)
        strided = stage > 0 and not (stage == 3 and size.dilation)
        after = _half(before) if strided else before
        for block in range(num_blocks):
            if bottleneck:
                flop += _conv(in_channels, width, 1, after if block else before)
                flop += _conv(width, width, 3, after) + _conv(width, out_channels, 1, after)
            else:
                flop += _conv(in_channels, width, 3, after) + _conv(width, width, 3, after)
            if block == 0 and (strided or in_channels != out_channels):
                flop += _conv(in_channels, out_channels, 1, after)
            in_channels = out_channels
        before = after
        channels.append(out_channels)
        maps.append(after)
    return channels, maps, flop


def _transformer(size: NetworkSize, maps: MAPS) -> int:
    width, tokens = size.hidden_dim, size.num_frames * maps[0] * maps[1]
    queries = size.num_frames * size.num_instances

    def attention(num_queries: int, num_keys: int) -> int:
        projections = 2 * width * width * (2 * num_queries + 2 * num_keys)
        return projections + 2 * 2 * num_queries * num_keys * width

    def feed_forward(length: int) -> int:
        return 2 * 2 * length * width * size.feedforward_dim

    encoder = attention(tokens, tokens) + feed_forward(tokens)
    decoder = attention(queries, queries) + attention(queries, tokens) + feed_forward(queries)
    return size.num_encoder_layers * encoder + size.num_decoder_layers * decoder


def _mask_head(size: NetworkSize, channels: list[int], maps: list[MAPS]) -> int:
    """Five convolutions of every image (a slot in a frame), the fourth stage's last deformable; adapters a frame."""
    stride4, stride8, stride16, stride32 = maps
    widths = [size.hidden_dim // 2**i for i in range(1, 5)]
    joined = size.hidden_dim + size.num_heads
    image = _conv(joined, joined, 3, stride32) + _conv(joined, widths[0], 3, stride32)
    image += _conv(widths[0], widths[1], 3, stride16) + _conv(widths[1], widths[2], 3, stride8)
    image += _conv(widths[2], 2 * 9, 1, stride4) + _conv(widths[2], widths[3], 3, stride4)
    frame = _conv(channels[2], widths[0], 1, stride16) + _conv(channels[1], widths[1], 1, stride8)
    frame += _conv(channels[0], widths[2], 1, stride4)
    return size.num_frames * (size.num_instances * image + frame)


def _sequence_head(size: NetworkSize, maps: MAPS) -> int:
    """Three cubic convolutions and a product with one vector, over every slot's sequence."""
    width = size.hidden_dim // 16
    half = width // 2
    kernel, _ = SEQUENCE_HEADS[size.sequence_head]
    cubes = _conv(width, half, kernel, maps) + 2 * _conv(half, half, kernel, maps)
    image = kernel * cubes + _conv(half, 1, 1, maps)
    return size.num_frames * size.num_instances * image


def _rest(size: NetworkSize, channels: int, maps: MAPS) -> int:
    """Input projection, attention maps, class and box heads of every decoder layer."""
    width, pixels = size.hidden_dim, maps[0] * maps[1]
    frame = _conv(channels, width, 1, maps) + _conv(width, width, 1, maps)
    image = 2 * width * width + 2 * width * pixels
    heads = 2 * width * (size.num_logits + 2 * width + 4)
    return size.num_frames * (frame + size.num_instances * (image + size.num_decoder_layers * heads))
