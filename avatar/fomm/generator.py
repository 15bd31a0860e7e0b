"""The generator: encodes the source, warps its features, inpaints occluded parts and decodes the prediction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avatar.fomm.blocks import ConvBlock, DownBlock, ResidualBlock, UpBlock
from avatar.fomm.config import ModelConfig
from avatar.fomm.dense_motion import DenseMotion, DenseMotionNetwork
from avatar.fomm.grids import look_up, resize_grid, resize_map

IMAGE_KERNEL = 7


class Generator(nn.Module):
    """Siarohin et al. 2019, Sec. 3.2: occlusion-aware generation. Holds the dense motion network, as in checkpoints."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        downs, widths = config.num_down_blocks, [config.channels(level) for level in range(config.num_down_blocks + 1)]
        self.dense_motion_network = DenseMotionNetwork(config)
        self.first = ConvBlock(config.num_channels, widths[0], IMAGE_KERNEL)
        self.down_blocks = nn.ModuleList(DownBlock(widths[i], widths[i + 1]) for i in range(downs))
        self.bottleneck = nn.Sequential()
        for index in range(config.num_bottleneck_blocks):
            self.bottleneck.add_module(f"r{index}", ResidualBlock(widths[-1]))
        self.up_blocks = nn.ModuleList(UpBlock(widths[i + 1], widths[i]) for i in reversed(range(downs)))
        self.final = nn.Conv2d(widths[0], config.num_channels, IMAGE_KERNEL, padding=IMAGE_KERNEL // 2)

    def encode(self, source: Tensor) -> Tensor:
        """Encode the source, the only part independent of the driver: (B, C, H, W) in [0, 1] to (B, c, h, w)."""
        features: Tensor = self.first(source)
        for block in self.down_blocks:
            features = block(features)
        return features

    def decode(self, features: Tensor, motion: DenseMotion) -> Tensor:
        """Decode the prediction.

        Args:
            features: (1 or B, c, h, w) of `encode`.
            motion: the motion of B driving frames.
        Returns:
            (B, C, H, W) in [0, 1].
        """
        moved = move(features, motion)
        for block in (self.bottleneck, *self.up_blocks):
            moved = block(moved)
        return torch.sigmoid(self.final(moved))


def move(features: Tensor, motion: DenseMotion) -> Tensor:
    """Warp the features by the deformation and mask occluded parts: Eq. 8.

    Args:
        features: (1 or B, c, h, w).
        motion: the motion of B driving frames, at any resolution.
    Returns:
        (B, c, h, w).
    """
    height, width = features.shape[2:]
    grid = resize_grid(motion.deformation, height, width)
    moved = look_up(features.expand(len(grid), -1, -1, -1), grid)
    if motion.occlusion_map is None:
        return moved
    return moved * resize_map(motion.occlusion_map, height, width)
