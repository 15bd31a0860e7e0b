"""Optimised convolutions: folded batch-norm, fused ReLU, prepacked weights.

All maps are (B, C, H, W) in one precision and memory format: channels_last, except for exact float32 on CUDA, where
cuDNN is faster with contiguous tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.fomm.blocks import ConvBlock, Hourglass, ResidualBlock

Layer = Callable[[Tensor], Tensor]

CHANNELS_AT_ONCE = 8  # channel alignment of tensor cores in float16 and bfloat16
TRANSPOSED_FROM = 16  # side of the input, pixels; smaller ones are bound by reading the larger kernel
_RELU: tuple[Any, ...] = ("relu", [], "")
_PLAIN: tuple[Any, ...] = ("none", [], "")


@dataclass(frozen=True)
class Target:
    """Device, precision and layout in which layers are computed."""

    dtype: torch.dtype
    device: torch.device
    packed: bool  # prepack the weights for oneDNN; CPU only
    fused: bool = False  # let cuDNN fuse bias and ReLU into the convolution; CUDA only
    layout: torch.memory_format = torch.channels_last
    transposed: bool = True  # allow transposed convolutions for upsampling

    def take(self, x: Tensor) -> Tensor:
        """Convert (B, C, H, W) to this target's device, precision and memory format."""
        return x.to(self.device, self.dtype).contiguous(memory_format=self.layout)


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights of a convolution in float32, with a folded batch-norm."""

    weight: Tensor  # (out, in, k, k)
    bias: Tensor  # (out,)


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Kernel:
    """Fold the batch-norm after a convolution into it."""
    plain, (gain, shift) = kernel_of(conv), affine(norm)
    return Kernel(plain.weight * gain[:, None, None, None], plain.bias * gain + shift)


def affine(norm: nn.BatchNorm2d | nn.BatchNorm3d) -> tuple[Tensor, Tensor]:
    """Return the affine form of a batch-norm in evaluation mode: x * gain + shift, (C,) each."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("this batch-norm has no statistics")
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return gain, norm.bias - norm.running_mean * gain


def kernel_of(*convs: nn.Conv2d) -> Kernel:
    """Concatenate convolutions of the same input into one, along the output channels."""
    bias = [torch.zeros(len(conv.weight)) if conv.bias is None else conv.bias for conv in convs]
    return Kernel(torch.cat([conv.weight for conv in convs]), torch.cat(bias))


def wider(kernel: Kernel, inputs: int, outputs: int) -> Kernel:
    """Append zero input and output channels."""
    return Kernel(F.pad(kernel.weight, (0, 0, 0, 0, 0, inputs, 0, outputs)), F.pad(kernel.bias, (0, outputs)))


def convolution(
    kernel: Kernel, target: Target, side: int, *, padding: int, relu: bool = True, stride: int = 1
) -> Layer:
    """Build a convolution with optional ReLU, tuned for inputs of `side` x `side` pixels."""
    weight, bias = target.take(kernel.weight), kernel.bias.to(target.device, target.dtype)
    if target.packed:
        paddings, strides, ones, unary = [padding, padding], [stride, stride], [1, 1], _RELU if relu else _PLAIN
        shape = [1, weight.shape[1], side, side]
        ops: Any = torch.ops.mkldnn
        packed = ops._reorder_convolution_weight(weight, paddings, strides, ones, 1, shape)
        return lambda x: ops._convolution_pointwise(x, packed, bias, paddings, strides, ones, 1, *unary)
    if relu and target.fused:
        return lambda x: torch.cudnn_convolution_relu(x, weight, bias, (stride, stride), (padding, padding), (1, 1), 1)
    if relu:
        return lambda x: F.conv2d(x, weight, bias, stride=stride, padding=padding).relu_()
    return lambda x: F.conv2d(x, weight, bias, stride=stride, padding=padding)


def adding_convolution(
    kernel: Kernel, target: Target, side: int, *, padding: int = 1
) -> Callable[[Tensor, Tensor], Tensor]:
    """Build a convolution without ReLU whose output is added to a second map of the same shape."""
    if target.packed:
        weight, bias = target.take(kernel.weight), kernel.bias.to(target.device, target.dtype)
        ops: Any = torch.ops.mkldnn
        one, around = [1, 1], [padding, padding]
        packed = ops._reorder_convolution_weight(weight, around, one, one, 1, [1, weight.shape[1], side, side])
        add = ops._convolution_pointwise.binary
        return lambda x, other: add(x, other, packed, bias, around, one, one, 1, "add", 1.0, None, [], None)
    plain = convolution(kernel, target, side, padding=padding, relu=False)
    return lambda x, other: plain(x).add_(other)


def doubling_convolution(kernel: Kernel, target: Target, side: int) -> Layer:
    """Build nearest-neighbour upsampling by 2 of a `side` x `side` input, a 3 x 3 convolution and a ReLU.

    Large maps use one transposed convolution of stride 2: each output depends on only 2 x 2 different inputs, so that
    4 products replace 9 (Shi et al. 2016, Is the deconvolution layer the same as a convolutional layer?).
    """
    if side < TRANSPOSED_FROM or not target.transposed:
        single = convolution(kernel, target, 2 * side, padding=1)
        return lambda x: single(F.interpolate(x, scale_factor=2, mode="nearest"))
    spread = transposed_weight(kernel.weight)  # (in, out, 4, 4)
    weight, bias = target.take(spread), kernel.bias.to(target.device, target.dtype)
    if target.packed:
        one, two, zero = [1, 1], [2, 2], [0, 0]
        ops: Any = torch.ops.mkldnn
        packed = ops._reorder_convolution_transpose_weight(weight, one, zero, two, one, 1, [1, len(weight), side, side])
        return lambda x: ops._convolution_transpose_pointwise(x, packed, bias, one, zero, two, one, 1, *_RELU)
    return lambda x: F.conv_transpose2d(x, weight, bias, stride=2, padding=1).relu_()


def transposed_weight(weight: Tensor) -> Tensor:
    """Convert a 3 x 3 kernel after nearest-neighbour upsampling to a transposed one, stride 2, padding 1.

    Along one axis, an input pixel i contributes to the outputs 2i - 1 ... 2i + 2; the taps on its two copies add up:
    w2, w1 + w2, w0 + w1, w0.

    Args:
        weight: (O, I, 3, 3).
    Returns:
        (I, O, 4, 4).
    """
    share = weight.new_tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
    return torch.einsum("oiyx,ay,bx->ioab", weight, share, share)


class FastResidual:
    """An optimised ResidualBlock. Its first batch-norm precedes a ReLU and so cannot be folded."""

    def __init__(self, block: ResidualBlock, target: Target, side: int) -> None:
        self._norm = block.norm1  # its parameters stay in float32, whatever the dtype of x
        self._first = convolution(folded(block.conv1, block.norm2), target, side, padding=1)
        self._second = adding_convolution(kernel_of(block.conv2), target, side)

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the block: (B, C, H, W) to the same shape."""
        inner: Tensor = self._norm(x)
        return self._second(self._first(inner.relu_()), x)


class FastHourglass:
    """An optimised Hourglass for inputs of `side` x `side` pixels with `extra` unused channels."""

    def __init__(self, net: Hourglass, target: Target, side: int, extra: int = 0) -> None:
        self._down: list[Layer] = []
        self._up: list[Layer] = []
        for block in net.encoder.down_blocks:
            self._down.append(convolution(wider(block_kernel(block), extra, 0), target, side, padding=1))
            side, extra = side // 2, 0
        for block in net.decoder.up_blocks:
            self._up.append(doubling_convolution(block_kernel(block), target, side))
            side *= 2

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the network: (B, in, H, W) to (B, block_expansion + in, H, W)."""
        levels = [x]
        for layer in self._down:
            levels.append(F.avg_pool2d(layer(levels[-1]), 2))
        *skips, x = levels
        for layer, skip in zip(self._up, reversed(skips), strict=True):
            x = torch.cat([layer(x), skip], dim=1)
        return x


def block_kernel(block: nn.Module) -> Kernel:
    """Return the folded convolution of a ConvBlock, DownBlock or UpBlock."""
    if not isinstance(block, ConvBlock):
        raise TypeError(f"a {type(block).__name__} is no ConvBlock")
    return folded(block.conv, block.norm)


def can_pack(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether this torch can prepack weights, by a trial: the operators are internal to torch."""
    if device.type != "cpu" or dtype == torch.float16:
        return False
    random = torch.Generator().manual_seed(0)
    kernel = Kernel(torch.randn(16, 16, 3, 3, generator=random) / 12, torch.randn(16, generator=random))
    plain, packed = (Target(dtype, device, on) for on in (False, True))
    x = plain.take(torch.randn(1, 16, TRANSPOSED_FROM, TRANSPOSED_FROM, generator=random))
    try:
        for make in (_small_convolution, _self_adding_convolution, doubling_convolution):
            wanted, got = (make(kernel, target, TRANSPOSED_FROM)(x) for target in (plain, packed))
            if not torch.allclose(wanted.float(), got.float(), atol=0.05, rtol=0.02):
                return False
    except (AttributeError, RuntimeError, TypeError):  # other versions of torch have other operators, or none
        return False
    return True


def can_fuse(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether this cuDNN can fuse convolution, bias and ReLU, by a trial on a small layer."""
    if device.type != "cuda":
        return False
    random = torch.Generator().manual_seed(0)
    kernel = Kernel(torch.randn(16, 16, 3, 3, generator=random) / 12, torch.randn(16, generator=random))
    plain, fused = (Target(dtype, device, packed=False, fused=on) for on in (False, True))
    x = plain.take(torch.randn(1, 16, 16, 16, generator=random))
    try:
        wanted, got = (_small_convolution(kernel, target, 16)(x) for target in (plain, fused))
        return torch.allclose(wanted.float(), got.float(), atol=0.05, rtol=0.02)
    except (AttributeError, RuntimeError, TypeError):
        return False


def _small_convolution(kernel: Kernel, target: Target, side: int) -> Layer:
    return convolution(kernel, target, side, padding=1)


def _self_adding_convolution(kernel: Kernel, target: Target, side: int) -> Layer:
    layer = adding_convolution(kernel, target, side)
    return lambda x: layer(x, x)
