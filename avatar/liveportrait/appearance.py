"""The appearance feature extractor F: computes the feature volume of a portrait, once per portrait."""

from __future__ import annotations

from torch import Tensor, nn

from avatar.fomm.blocks import ConvBlock, DownBlock
from avatar.liveportrait.blocks import ResidualBlock3d
from avatar.liveportrait.config import AppearanceConfig


class AppearanceExtractor(nn.Module):
    """Guo et al. 2024: the appearance feature extractor F."""

    def __init__(self, config: AppearanceConfig) -> None:
        super().__init__()
        self.config = config
        levels = range(config.num_down_blocks)
        self.first = ConvBlock(3, config.block_expansion)
        self.down_blocks = nn.ModuleList(DownBlock(config.channels(i), config.channels(i + 1)) for i in levels)
        volume = config.reshape_channel * config.reshape_depth
        self.second = nn.Conv2d(config.channels(config.num_down_blocks), volume, 1)
        self.resblocks_3d = nn.Sequential()
        for number in range(config.num_resblocks):
            self.resblocks_3d.add_module(f"3dr{number}", ResidualBlock3d(config.reshape_channel))

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 3, H, W) in [0, 1] to a volume (B, C, D, H / 4, W / 4), for the published two down blocks."""
        x = self.first(image)
        for block in self.down_blocks:
            x = block(x)
        x = self.second(x)
        batch, _, height, width = x.shape
        volume = x.view(batch, self.config.reshape_channel, self.config.reshape_depth, height, width)
        features: Tensor = self.resblocks_3d(volume)
        return features
