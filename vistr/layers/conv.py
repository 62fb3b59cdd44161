"""Two-dimensional convolution over `[N, H, W, C]`, and its pairing with frozen BatchNorm."""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from vistr.layers.padding import masked, rows_inside, table_inside
from vistr.layers.parameters import fixed, set_value, uniform
from vistr.layers.tables import gather_table, out_size, scatter_table, tap_order_table
from vistr.runtime import backend


class ImageConvolution(nn.Cell):
    """Convolution as a gather of rows and one matrix product, for inputs that need no gradient.

    Padding of images is zero as it comes, and not looked for.
    """

    def __init__(self, kernel: int, stride: int, padding: int, dilation: int) -> None:
        super().__init__()
        self.geometry = (kernel, stride, padding, dilation)
        self.reads_padding = False
        self.matmul_nt = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor, weight: Tensor, inside: Tensor | None) -> Tensor:
        n, h, w, _ = x.shape
        kernel, stride, padding, dilation = self.geometry
        out_h = out_size(h, kernel, stride, padding, dilation)
        out_w = out_size(w, kernel, stride, padding, dilation)
        columns = ops.stop_gradient(self.columns(x, inside if self.reads_padding else None))
        out = self.matmul_nt(columns, weight.reshape(weight.shape[0], -1))
        return out.reshape(n, out_h, out_w, weight.shape[0])

    def columns(self, x: Tensor, inside: Tensor | None) -> Tensor:
        """The input under every (output pixel, tap): `[N*Ho*Wo, k*k*I]`."""
        n, h, w, channels = x.shape
        kernel, stride, padding, dilation = self.geometry
        rows = ops.concat((x.reshape(-1, channels), ops.zeros((1, channels), x.dtype)), 0)
        table = table_inside(gather_table(n, h, w, kernel, stride, padding, dilation), inside)
        return ops.gather(rows, table, 0).reshape(-1, kernel * kernel * channels)


class GatherConvolution(ImageConvolution):
    """The same with the gradient of its input; the backward pass gathers again.

    Keeping only the inputs, not the gathered columns, is what makes training fit in memory. Use one instance per
    call site: MindSpore mixes up gradients when one cell with its own `bprop` is called twice in a graph.
    """

    def __init__(self, kernel: int, stride: int, padding: int, dilation: int) -> None:
        super().__init__(kernel, stride, padding, dilation)
        # A kernel of one tap reads none where its output is inside.
        self.reads_padding = kernel > 1
        self.matmul = ops.MatMul()
        self.matmul_tn = ops.MatMul(transpose_a=True)

    def bprop(
        self, x: Tensor, weight: Tensor, inside: Tensor | None, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        n, h, w, channels = x.shape
        kernel, stride, padding, dilation = self.geometry
        out_channels, num_taps = weight.shape[0], kernel * kernel
        dout = dout.reshape(-1, out_channels)
        # One after the other, and not before the gradient is there: the scheduler starts whatever is ready, and so
        # would hold the gathered columns of every layer at once.
        seen = ops.depend(inside, dout) if inside is not None and self.reads_padding else None
        columns = self.columns(ops.depend(x, dout), seen)
        dweight = self.matmul_tn(dout, columns)
        dout = ops.depend(dout, dweight)
        rows = ops.concat((dout, ops.zeros((1, out_channels), dout.dtype)), 0)
        table = scatter_table(n, h, w, kernel, stride, padding, dilation)
        if seen is not None:
            # No gradient goes to padding: all its taps are the zero row.
            none = ops.fill(ms.int32, (num_taps,), dout.shape[0])
            by_pixel = ops.concat((table, none), 0).reshape(-1, num_taps)
            table = ops.gather(by_pixel, rows_inside(seen)[:-1], 0).reshape(-1)
        columns = ops.gather(rows, table, 0).reshape(-1, num_taps * out_channels)
        by_tap = ops.gather(weight.reshape(-1, channels), tap_order_table(out_channels, num_taps), 0)
        dx = self.matmul(columns, by_tap)
        return dx.reshape(x.shape), dweight.reshape(weight.shape), inside if inside is None else ops.zeros_like(inside)


class NativeConvolution(nn.Cell):
    """Convolution by the device's own kernel, which wants channels first."""

    def __init__(self, kernel: int, stride: int, padding: int, dilation: int, of_image: bool) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.reads_padding = kernel > 1 and not of_image

    def construct(self, x: Tensor, weight: Tensor, inside: Tensor | None) -> Tensor:
        out = ops.conv2d(
            (masked(x, inside) if self.reads_padding else x).transpose(0, 3, 1, 2),
            weight.transpose(0, 3, 1, 2),
            stride=self.stride,
            pad_mode="pad",
            padding=self.padding,
            dilation=self.dilation,
        )
        return out.transpose(0, 2, 3, 1)


class ChannelsLastConvolution(nn.Cell):
    """Convolution by a GPU's own kernel, without transposing: the weights lie as it wants them."""

    def __init__(self, kernel: int, stride: int, padding: int, dilation: int, of_image: bool) -> None:
        super().__init__()
        self.geometry = (kernel, stride, padding, dilation)
        self.reads_padding = kernel > 1 and not of_image

    def construct(self, x: Tensor, weight: Tensor, inside: Tensor | None) -> Tensor:
        kernel, stride, padding, dilation = self.geometry
        convolve = ops.Conv2D(weight.shape[0], kernel, 1, "pad", padding, stride, dilation, 1, "NHWC")
        return convolve(masked(x, inside) if self.reads_padding else x, weight)


class PointwiseConvolution(nn.Cell):
    """Convolution 1x1 of stride 1: a matrix product on every device."""

    def __init__(self) -> None:
        super().__init__()
        self.matmul_nt = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor, weight: Tensor, inside: Tensor | None) -> Tensor:
        out_channels = weight.shape[0]
        out = self.matmul_nt(x.reshape(-1, x.shape[-1]), weight.reshape(out_channels, -1))
        return out.reshape(*x.shape[:-1], out_channels)


def convolution(kernel: int, stride: int, padding: int, dilation: int, of_image: bool = False) -> nn.Cell:
    """The kernel for this geometry on the current backend.

    It is called with `x [N, H, W, I]`, `weight [O, k, k, I]` and `inside [N, H, W]`, which is 0 at padding, or None,
    and returns `[N, Ho, Wo, O]`. `of_image` says that `x` is zero at padding, and that no gradient of it is wanted.
    """
    if kernel == 1 and stride == 1 and padding == 0:
        return PointwiseConvolution()
    if backend.current() == "gather":
        return (ImageConvolution if of_image else GatherConvolution)(kernel, stride, padding, dilation)
    # MindSpore refuses this layout on a CPU, where tests build the rest of the GPU's network.
    if backend.current() == "gpu" and ms.get_context("device_target") == "GPU":
        return ChannelsLastConvolution(kernel, stride, padding, dilation, of_image)
    return NativeConvolution(kernel, stride, padding, dilation, of_image)


class Conv2d(nn.Cell):
    """Convolution with bias: `[N, H, W, I] -> [N, Ho, Wo, O]`; the weight is stored as `[O, k, k, I]`."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1) -> None:
        super().__init__()
        self.run = convolution(kernel, 1, kernel // 2, 1)
        bound = math.sqrt(3 / (in_channels * kernel * kernel))
        self.weight = uniform((out_channels, kernel, kernel, in_channels), bound, "weight")
        self.bias = Parameter(np.zeros(out_channels, np.float32), name="bias")

    def construct(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        return add_bias(self.run(x, self.weight.astype(x.dtype), inside), self.bias)


class ConvNorm(nn.Cell):
    """Convolution followed by frozen BatchNorm, whose scale goes to the weight or the output: the smaller one.

    `of_image` as in `convolution`: the network's input needs no gradient.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        *,
        of_image: bool = False,
    ) -> None:
        super().__init__()
        self.run = convolution(kernel, stride, dilation * (kernel // 2), dilation, of_image)
        bound = math.sqrt(6 / (out_channels * kernel * kernel))
        self.weight = uniform((out_channels, kernel, kernel, in_channels), bound, "weight")
        self.norm = FrozenBatchNorm(out_channels)
        self.scale_rows, self.scale_columns = Scale(of_rows=True), Scale(of_rows=False)
        self.stride, self.calibrating = stride, False

    def construct(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        if self.calibrating:
            out = self.run(x, self.weight.astype(x.dtype), inside)
            self.norm.calibrate(out, None if inside is None else inside[:, :: self.stride, :: self.stride])
        scale, shift = self.norm()
        if x.shape[0] * x.shape[1] * x.shape[2] < self.weight.size // self.weight.shape[0]:
            out = self.scale_columns(self.run(x, self.weight.astype(x.dtype), inside), scale.astype(x.dtype))
        else:
            out = self.run(x, self.scale_rows(self.weight, scale).astype(x.dtype), inside)
        return add_bias(out, shift)


class Scale(nn.Cell):
    """`x` times fixed factors `[C]` along its first axis (`of_rows`) or its last.

    On a CPU the factors are spread by a matrix product with ones: MindSpore's broadcasting keeps 16 bytes an element
    for good. They get no gradient.
    """

    def __init__(self, of_rows: bool) -> None:
        super().__init__()
        self.of_rows, self.broadcasts = of_rows, backend.sums_natively()

    def construct(self, x: Tensor, factors: Tensor) -> Tensor:
        return x * self.spread(factors, x)

    def bprop(self, x: Tensor, factors: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
        return dout * self.spread(ops.depend(factors, dout), x), ops.zeros_like(factors)

    def spread(self, factors: Tensor, x: Tensor) -> Tensor:
        """The factors in a shape that `x` can be multiplied by."""
        if self.broadcasts:
            return factors.reshape(-1, 1, 1, 1) if self.of_rows else factors
        ones = ops.ones((x.size // factors.size,), factors.dtype)
        if self.of_rows:
            return ops.matmul(factors.reshape(-1, 1), ones.reshape(1, -1)).reshape(x.shape)
        return ops.matmul(ones.reshape(-1, 1), factors.reshape(1, -1)).reshape(x.shape)


class FrozenBatchNorm(nn.Cell):
    """BatchNorm with fixed statistics and affine parameters, as the scale and shift `[C]` it amounts to."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = fixed(np.ones(channels), "weight")
        self.bias = fixed(np.zeros(channels), "bias")
        self.running_mean = fixed(np.zeros(channels), "running_mean")
        self.running_var = fixed(np.ones(channels), "running_var")
        self.natively = backend.sums_natively()

    def construct(self) -> tuple[Tensor, Tensor]:
        scale = self.weight / ops.sqrt(self.running_var + 1e-5)
        return scale, self.bias - self.running_mean * scale

    def calibrate(self, x: Tensor, inside: Tensor | None) -> None:
        """Take the statistics of `[N, H, W, C]`, of what is inside, as this layer's; eager mode only."""
        if self.natively:  # the maps of one clip are gigabytes, which a GPU would send to the host
            counted = ops.ones(x.shape[:3], x.dtype) if inside is None else (inside > 0).astype(x.dtype)
            weights = counted.expand_dims(-1)
            axes, count = (0, 1, 2), weights.sum()
            mean = (x * weights).sum(axes) / count
            ops.assign(self.running_mean, mean)
            ops.assign(self.running_var, (ops.square(x - mean) * weights).sum(axes) / count)
            return
        rows = x.asnumpy().reshape(-1, x.shape[-1])
        if inside is not None:
            rows = rows[inside.asnumpy().reshape(-1) > 0]
        set_value(self.running_mean, rows.mean(0))
        set_value(self.running_var, rows.var(0))


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """Add a bias `[C]` to the last axis."""
    rows = ops.bias_add(x.reshape(-1, x.shape[-1]), bias.astype(x.dtype))
    return rows.reshape(x.shape)
