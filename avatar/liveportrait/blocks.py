"""What the networks are built of. Parameter names are those of the published weights."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.liveportrait.config import WarpingConfig


class ResidualBlock3d(nn.Module):
    """x + two convolutions, each behind its batch-norm and ReLU; the shape (B, C, D, H, W) stays."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm3d(channels), nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        inner: Tensor = self.conv1(F.relu(self.norm1(x)))
        inner = self.conv2(F.relu(self.norm2(inner)))
        return x + inner


class ConvBlock3d(nn.Module):
    """Convolution, batch-norm, ReLU; (B, in, D, H, W) to (B, out, D, H, W)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, 3, padding=1)
        self.norm = nn.BatchNorm3d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        return F.relu(self.norm(self.conv(x)))


class DownBlock3d(ConvBlock3d):
    """A ConvBlock3d whose result is averaged over 2 x 2; the depth stays."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        return F.avg_pool3d(super().forward(x), (1, 2, 2))


class UpBlock3d(ConvBlock3d):
    """A ConvBlock3d on an input of twice the height and width, nearest neighbour."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        return super().forward(F.interpolate(x, scale_factor=(1, 2, 2), mode="nearest"))


class _Encoder3d(nn.Module):
    def __init__(self, config: WarpingConfig, channels_in: int) -> None:
        super().__init__()
        widths = [channels_in, *(config.channels(level + 1) for level in range(config.num_blocks))]
        self.down_blocks = nn.ModuleList(DownBlock3d(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class _Decoder3d(nn.Module):
    def __init__(self, config: WarpingConfig, channels_in: int) -> None:
        super().__init__()
        blocks = []
        for level in reversed(range(config.num_blocks)):
            innermost = level == config.num_blocks - 1
            blocks.append(UpBlock3d(config.channels(level + 1) * (1 if innermost else 2), config.channels(level)))
        self.up_blocks = nn.ModuleList(blocks)
        channels = config.block_expansion + channels_in
        self.conv = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm3d(channels)

    def forward(self, levels: list[Tensor]) -> Tensor:
        *skips, x = levels
        for block, skip in zip(self.up_blocks, reversed(skips), strict=True):
            x = torch.cat([block(x), skip], dim=1)
        return F.relu(self.norm(self.conv(x)))


class Hourglass3d(nn.Module):
    """(B, in, D, H, W) to (B, block_expansion + in, D, H, W); H and W are multiples of 2^num_blocks, D stays."""

    def __init__(self, config: WarpingConfig, channels_in: int) -> None:
        super().__init__()
        self.encoder, self.decoder = _Encoder3d(config, channels_in), _Decoder3d(config, channels_in)
        self.channels_out = config.block_expansion + channels_in

    def forward(self, x: Tensor) -> Tensor:
        """Compute the network."""
        features: Tensor = self.decoder(self.encoder(x))
        return features
