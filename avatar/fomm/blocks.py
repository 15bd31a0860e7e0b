"""Building blocks of the three networks. Parameter names are those of the published checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.fomm.config import HourglassConfig


class ConvBlock(nn.Module):
    """Convolution, batch-norm, ReLU; (B, in, H, W) to (B, out, H, W)."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block: (B, in, H, W) to (B, out, H, W)."""
        return F.relu(self.norm(self.conv(x)))


class DownBlock(ConvBlock):
    """A ConvBlock followed by 2 x 2 average pooling; H and W are halved, rounded down."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block: (B, in, H, W) to (B, out, H // 2, W // 2)."""
        return F.avg_pool2d(super().forward(x), 2)


class UpBlock(ConvBlock):
    """A ConvBlock after nearest-neighbour upsampling by 2."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block: (B, in, H, W) to (B, out, 2 H, 2 W)."""
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


class ResidualBlock(nn.Module):
    """A pre-activation residual block: two convolutions, each after its batch-norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block: (B, C, H, W) to the same shape."""
        inner: Tensor = self.conv1(F.relu(self.norm1(x)))
        inner = self.conv2(F.relu(self.norm2(inner)))
        return x + inner


class Levels(Protocol):
    """Structure of an hourglass."""

    @property
    def num_blocks(self) -> int:
        """The number of levels."""

    def channels(self, level: int) -> int:
        """Return the channels of a level: 0 is the output, `num_blocks` the innermost."""


Block = Callable[[int, int], nn.Module]  # channels in and out; halves or doubles height and width


class HourglassEncoder(nn.Module):
    """The encoder: halves the resolution level by level and keeps the features of every level."""

    def __init__(self, config: Levels, channels_in: int, block: Block = DownBlock) -> None:
        super().__init__()
        widths = [channels_in, *(config.channels(level + 1) for level in range(config.num_blocks))]
        self.down_blocks = nn.ModuleList(block(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the input (B, C, H, W) and the features of every level, (B, c, H / 2^i, W / 2^i), innermost last."""
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class HourglassDecoder(nn.Module):
    """The decoder: doubles the resolution level by level, with a skip connection from the encoder at each."""

    def __init__(self, config: Levels, block: Block = UpBlock) -> None:
        super().__init__()
        blocks = []
        for level in reversed(range(config.num_blocks)):
            innermost = level == config.num_blocks - 1
            channels_in = config.channels(level + 1) * (1 if innermost else 2)
            blocks.append(block(channels_in, config.channels(level)))
        self.up_blocks = nn.ModuleList(blocks)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Decode the encoder's levels to one map of the input's size, (B, C, H, W)."""
        *skips, x = levels
        for block, skip in zip(self.up_blocks, reversed(skips), strict=True):
            x = torch.cat([block(x), skip], dim=1)
        return x


class Hourglass(nn.Module):
    """Encoder and decoder: (B, in, H, W) to (B, block_expansion + in, H, W); H and W are multiples of 2^num_blocks."""

    def __init__(self, config: HourglassConfig, channels_in: int) -> None:
        super().__init__()
        self.encoder, self.decoder = HourglassEncoder(config, channels_in), HourglassDecoder(config)
        self.channels_out = config.block_expansion + channels_in

    def forward(self, x: Tensor) -> Tensor:
        """Compute the network: (B, in, H, W) to (B, channels_out, H, W)."""
        features: Tensor = self.decoder(self.encoder(x))
        return features


class AntiAliasedDown(nn.Module):
    """Anti-aliased downsampling: a Gaussian blur, then every (1 / scale)-th pixel.

    The Gaussian has sigma (1 / scale - 1) / 2 pixels and is cut off at 4 sigma, with zero padding. Checkpoints store
    the kernel, from which `structure.py` derives the scale.
    """

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.step = round(1 / scale)
        self.register_buffer("weight", gaussian_kernel(scale).repeat(channels, 1, 1, 1))

    weight: Tensor  # (C, 1, k, k)

    def forward(self, image: Tensor) -> Tensor:
        """Downsample (B, C, H, W) to (B, C, scale * H, scale * W)."""
        channels, _, side, _ = self.weight.shape
        return F.conv2d(image, self.weight, stride=self.step, padding=side // 2, groups=channels)


def gaussian_kernel(scale: float) -> Tensor:
    """Return the (k, k) kernel of `AntiAliasedDown`, sum 1."""
    sigma = (1 / scale - 1) / 2
    half = round(4 * sigma)
    offsets = torch.arange(-half, half + 1, dtype=torch.float32, device="cpu")
    line = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = torch.outer(line, line)
    return kernel / kernel.sum()


def anti_aliased_down(channels: int, scale: float) -> nn.Module | None:
    """Return an `AntiAliasedDown`, or None for scale 1, for which checkpoints store no kernel."""
    return AntiAliasedDown(channels, scale) if scale != 1 else None
