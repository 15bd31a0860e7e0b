"""Building blocks of the networks. Parameter names are those of the published weights."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.fomm.blocks import HourglassDecoder, HourglassEncoder
from avatar.liveportrait.config import WarpingConfig


class ResidualBlock3d(nn.Module):
    """A pre-activation residual block: two convolutions, each after its batch-norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm3d(channels), nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block: (B, C, D, H, W) to the same shape."""
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
        """Compute the block: (B, in, D, H, W) to (B, out, D, H, W)."""
        return F.relu(self.norm(self.conv(x)))


class DownBlock3d(ConvBlock3d):
    """A ConvBlock3d followed by 2 x 2 average pooling of height and width."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block: (B, in, D, H, W) to (B, out, D, H // 2, W // 2)."""
        return F.avg_pool3d(super().forward(x), (1, 2, 2))


class UpBlock3d(ConvBlock3d):
    """A ConvBlock3d after nearest-neighbour upsampling of height and width by 2."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block: (B, in, D, H, W) to (B, out, D, 2 H, 2 W)."""
        return super().forward(F.interpolate(x, scale_factor=(1, 2, 2), mode="nearest"))


class _Decoder3d(HourglassDecoder):
    """An HourglassDecoder followed by one more convolution."""

    def __init__(self, config: WarpingConfig, channels_in: int) -> None:
        super().__init__(config, UpBlock3d)
        channels = config.block_expansion + channels_in
        self.conv = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm3d(channels)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Decode the encoder's levels to one map of the input's size, (B, C, D, H, W)."""
        return F.relu(self.norm(self.conv(super().forward(levels))))


class Hourglass3d(nn.Module):
    """A 3-D hourglass that scales height and width only; both are multiples of 2^num_blocks."""

    def __init__(self, config: WarpingConfig, channels_in: int) -> None:
        super().__init__()
        self.encoder = HourglassEncoder(config, channels_in, DownBlock3d)
        self.decoder = _Decoder3d(config, channels_in)
        self.channels_out = config.block_expansion + channels_in

    def forward(self, x: Tensor) -> Tensor:
        """Compute the network: (B, in, D, H, W) to (B, channels_out, D, H, W)."""
        features: Tensor = self.decoder(self.encoder(x))
        return features
