"""The generator G, optimised: conditions by phases, norms in one pass, the learned shortcut folded into its beta."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.fomm.fast_layers import (
    Kernel,
    Target,
    adding_convolution,
    convolution,
    kernel_of,
)
from avatar.liveportrait.generator import LEAKY_SLOPE, Generator, SpadeBlock, SpadeNorm
from avatar.liveportrait.phases import CompactHidden, PhaseConvolution, interleave

_EPSILON = 1e-5  # as in torch's instance norm


class FastGenerator:
    """An optimised Generator for features of `side` x `side` cells, one frame at a time."""

    def __init__(self, net: Generator, target: Target, side: int) -> None:
        self._target = target
        self._first = convolution(kernel_of(net.fc), target, side, padding=1, relu=False)
        self._blocks: list[Callable[[Tensor, Tensor], Tensor]] = [
            _Block(_block(net, f"G_middle_{number}"), target, side) for number in range(net.middle)
        ]
        for number in range(net.doublings):
            self._blocks.append(_DoublingBlock(_block(net, f"up_{number}"), target, side, 2 << number))
        last = net.conv_img[0] if isinstance(net.conv_img, nn.Sequential) else net.conv_img
        assert isinstance(last, nn.Conv2d)
        self._upscale = round((last.out_channels / 3) ** 0.5)
        self._last = convolution(kernel_of(last), target, side << net.doublings, padding=1, relu=False)

    def __call__(self, features: Tensor) -> Tensor:
        """Decode (1, C, h, w) features to (1, 3, H, W) logits in float32, before the sigmoid."""
        condition = self._target.take(features)
        x = self._first(condition)
        for block in self._blocks:
            x = block(x, condition)
        return F.pixel_shuffle(self._last(F.leaky_relu(x, LEAKY_SLOPE)).float(), self._upscale)


def _block(net: Generator, name: str) -> SpadeBlock:
    block = net.get_submodule(name)
    assert isinstance(block, SpadeBlock)
    return block


class _Block:
    """A SpadeBlock at the condition's resolution."""

    def __init__(self, block: SpadeBlock, target: Target, side: int) -> None:
        self._norm_0, self._norm_1 = (_Condition(norm, target, side) for norm in (block.norm_0, block.norm_1))
        self._conv_0 = convolution(kernel_of(block.conv_0), target, side, padding=1, relu=False)
        self._conv_1 = adding_convolution(kernel_of(block.conv_1), target, side)

    def __call__(self, x: Tensor, condition: Tensor) -> Tensor:
        """Compute the block: (1, C, h, w) and a condition (1, c, h, w) to (1, C, h, w)."""
        inner = self._conv_0(_modulated(_normalised(x), self._norm_0(condition)))
        return self._conv_1(_modulated(_normalised(inner), self._norm_1(condition)), x)


class _Condition:
    """Gain and shift of a SpadeNorm at the condition's resolution."""

    def __init__(self, norm: SpadeNorm, target: Target, side: int) -> None:
        self._hidden = convolution(_hidden_kernel(norm), target, side, padding=1)
        self._maps = convolution(_maps_kernel(norm), target, side, padding=1, relu=False)

    def __call__(self, condition: Tensor) -> Tensor:
        """Map (1, c, h, w) to 1 + gamma and beta, one after the other: (1, 2 C, h, w)."""
        return self._maps(self._hidden(condition))


class _DoublingBlock:
    """Nearest-neighbour upsampling by 2 and a SpadeBlock whose output is `scale` times as large as the condition."""

    def __init__(self, block: SpadeBlock, target: Target, side: int, scale: int) -> None:
        self._scale, self._target = scale, target
        self._norm_0, self._norm_1 = (
            _PhasedCondition(_hidden_kernel(norm), _maps_kernel(norm), target, side, scale)
            for norm in (block.norm_0, block.norm_1)
        )
        self._conv_0 = convolution(kernel_of(block.conv_0), target, side * scale, padding=1, relu=False)
        self._conv_1 = adding_convolution(kernel_of(block.conv_1), target, side * scale)
        self._norm_s: _PhasedCondition | None = None
        if block.widens:
            mixing = kernel_of(block.conv_s)
            maps = _shortcut_kernel(block.norm_s, mixing.weight)
            self._norm_s = _PhasedCondition(_hidden_kernel(block.norm_s), maps, target, side, scale)
            self._channels = mixing.weight.shape[1]
            self._mix = adding_convolution(mixing, target, side, padding=0)

    def __call__(self, x: Tensor, condition: Tensor) -> Tensor:
        """Compute the block: (1, in, H, W) and a condition (1, c, h, w) to (1, out, 2 H, 2 W)."""
        scale = self._scale
        small = _normalised(x)  # repeating every pixel changes neither mean nor variance

        def enlarged(row: int, column: int) -> Tensor:
            """Return a phase of `small` enlarged by 2, (1, in, h, w)."""
            return small[:, :, row // 2 :: scale // 2, column // 2 :: scale // 2]

        phases = ((i, j, _modulated(enlarged(i, j), maps)) for i, j, maps in self._norm_0.phases(condition))
        large = _normalised(self._conv_0(interleave(phases, scale, scale)))

        def phase(row: int, column: int) -> Tensor:
            """Return a phase of `large`, (1, between, h, w)."""
            return large[:, :, row::scale, column::scale]

        phases = ((i, j, _modulated(phase(i, j), maps)) for i, j, maps in self._norm_1.phases(condition))
        inner = interleave(phases, scale, scale)
        if self._norm_s is None:
            return self._conv_1(inner, F.interpolate(x, scale_factor=2, mode="nearest"))
        shortcut = ((i, j, self._mixed(enlarged(i, j), maps)) for i, j, maps in self._norm_s.phases(condition))
        return self._conv_1(inner, interleave(shortcut, scale, scale))

    def _mixed(self, small: Tensor, maps: Tensor) -> Tensor:
        """Compute a phase of the shortcut, (1, out, h, w), from (1, in, h, w) and its gain and mixed shift."""
        gain, shift = maps[:, : self._channels], maps[:, self._channels :]
        return self._mix(self._target.take(gain * small), self._target.take(shift))


class _PhasedCondition:
    """Gain and shift of a SpadeNorm at `scale` times the condition's resolution."""

    def __init__(self, hidden: Kernel, maps: Kernel, target: Target, side: int, scale: int) -> None:
        self._hidden = CompactHidden(hidden, target, side, scale)
        self._maps = PhaseConvolution(maps, target, side, scale)

    def phases(self, condition: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """Yield each phase of gain and shift of a condition (1, c, h, w), as `PhaseConvolution.phases`."""
        return self._maps.phases(self._hidden(condition))


def _hidden_kernel(norm: SpadeNorm) -> Kernel:
    first = norm.mlp_shared[0]
    assert isinstance(first, nn.Conv2d)
    return kernel_of(first)


def _maps_kernel(norm: SpadeNorm) -> Kernel:
    """Return one convolution to 1 + gamma and beta."""
    both = kernel_of(norm.mlp_gamma, norm.mlp_beta)
    channels = norm.mlp_gamma.out_channels
    return Kernel(both.weight, torch.cat([both.bias[:channels] + 1, both.bias[channels:]]))


def _shortcut_kernel(norm: SpadeNorm, mixing: Tensor) -> Kernel:
    """Return one convolution to 1 + gamma and to the shortcut's part of beta.

    The shortcut is linear: mix(x (1 + gamma) + beta) = mix(x (1 + gamma)) + (mix beta), and mix beta is a convolution.

    Args:
        norm: the shortcut's.
        mixing: (out, in, 1, 1), the shortcut's 1 x 1 convolution.
    """
    gamma, beta = kernel_of(norm.mlp_gamma), kernel_of(norm.mlp_beta)
    mix = mixing[:, :, 0, 0]
    weight = torch.einsum("oc,ciyx->oiyx", mix, beta.weight)
    return Kernel(torch.cat([gamma.weight, weight]), torch.cat([gamma.bias + 1, mix @ beta.bias]))


def _normalised(x: Tensor) -> Tensor:
    """Compute the instance norm of a single (1, C, H, W) map, which is the batch norm of a batch of one."""
    if torch.onnx.is_in_onnx_export():  # the exporter knows neither norm for these inputs
        centred = x - x.mean(dim=(2, 3), keepdim=True)
        return centred * (centred.square().mean(dim=(2, 3), keepdim=True) + _EPSILON).rsqrt()
    return F.batch_norm(
        x, None, None, training=True, eps=_EPSILON
    )  # several times faster on a CPU than F.instance_norm


def _modulated(normal: Tensor, maps: Tensor) -> Tensor:
    """Apply gain and shift, (1, 2 C, h, w), to (1, C, h, w), then the leaky ReLU."""
    gain, shift = maps.chunk(2, dim=1)
    return F.leaky_relu_(torch.addcmul(shift, gain, normal), LEAKY_SLOPE)
