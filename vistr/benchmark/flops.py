"""Floating-point operations of the network, counted from its sizes; one multiply-add is 2 FLOP."""

from __future__ import annotations

from vistr.config import Config
from vistr.models.backbone_contract import Size, conv_flop
from vistr.models.settings import SEQUENCE_HEADS


def count_gflop(config: Config, num_logits: int, height: int, width: int) -> dict[str, float]:
    """GFLOP of one clip of frames of `height` x `width` pixels, unpadded: backbone, transformer, mask_head,
    sequence_head (3-D), rest and total.

    Counted is the original's formulation, whatever this implementation saves: every slot's mask is computed, and the
    mask head's first convolution anew for each slot. Rates from these counts compare with the original's. `rest` is
    the input projection, the attention maps and the class and box heads; normalisation, activations, softmax and
    resizing are left out.
    """
    frames, backbone, maps = config.num_frames, config.backbone, config.backbone.map_sizes(height, width)
    parts = {
        "backbone": frames * backbone.flop(height, width),
        "transformer": config.transformer.flop(frames * maps[3][0] * maps[3][1], frames * config.num_instances),
        "mask_head": _mask_head(config, backbone.channels, maps),
        "sequence_head": _sequence_head(config, maps[0]),
        "rest": _rest(config, num_logits, backbone.channels[3], maps[3]),
    }
    gflop = {name: flop / 1e9 for name, flop in parts.items()}
    return {**gflop, "total": sum(gflop.values())}


def _mask_head(config: Config, channels: list[int], maps: list[Size]) -> int:
    """Five convolutions of every image (a slot in a frame), the fourth stage's last deformable; adapters a frame."""
    stride4, stride8, stride16, stride32 = maps
    widths = [config.transformer.hidden_dim // 2**i for i in range(1, 5)]
    joined = config.transformer.hidden_dim + config.transformer.num_heads
    image = conv_flop(joined, joined, 3, stride32) + conv_flop(joined, widths[0], 3, stride32)
    image += conv_flop(widths[0], widths[1], 3, stride16) + conv_flop(widths[1], widths[2], 3, stride8)
    image += conv_flop(widths[2], 2 * 9, 1, stride4) + conv_flop(widths[2], widths[3], 3, stride4)
    frame = conv_flop(channels[2], widths[0], 1, stride16) + conv_flop(channels[1], widths[1], 1, stride8)
    frame += conv_flop(channels[0], widths[2], 1, stride4)
    return config.num_frames * (config.num_instances * image + frame)


def _sequence_head(config: Config, maps: Size) -> int:
    """Three cubic convolutions and a product with one vector, over every slot's sequence."""
    width = config.transformer.hidden_dim // 16
    half = width // 2
    kernel, _ = SEQUENCE_HEADS[config.sequence_head]
    cubes = conv_flop(width, half, kernel, maps) + 2 * conv_flop(half, half, kernel, maps)
    image = kernel * cubes + conv_flop(half, 1, 1, maps)
    return config.num_frames * config.num_instances * image


def _rest(config: Config, num_logits: int, channels: int, maps: Size) -> int:
    """Input projection, attention maps, class and box heads of every decoder layer."""
    width, pixels = config.transformer.hidden_dim, maps[0] * maps[1]
    frame = conv_flop(channels, width, 1, maps) + conv_flop(width, width, 1, maps)
    image = 2 * width * width + 2 * width * pixels
    heads = 2 * width * (num_logits + 2 * width + 4)
    return config.num_frames * (frame + config.num_instances * (image + config.transformer.num_decoder_layers * heads))
