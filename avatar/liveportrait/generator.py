"""The generator G: decodes warped features to an image, with SPADE blocks (Park et al. 2019) conditioned on them."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.liveportrait.config import GeneratorConfig

LEAKY_SLOPE = 0.2  # negative slope of the leaky ReLUs


class Generator(nn.Module):
    """The SPADE generator G (Guo et al. 2024)."""

    def __init__(self, config: GeneratorConfig, channels_in: int) -> None:
        super().__init__()
        self.middle, self.doublings = config.num_middle_blocks, len(config.up_channels)
        width, hidden = config.channels, config.hidden
        self.fc = nn.Conv2d(channels_in, width, 3, padding=1)
        for number in range(self.middle):
            self.add_module(f"G_middle_{number}", SpadeBlock(width, width, channels_in, hidden))
        for number, wanted in enumerate(config.up_channels):
            self.add_module(f"up_{number}", SpadeBlock(width, wanted, channels_in, hidden))
            width = wanted
        last = nn.Conv2d(width, 3 * config.upscale**2, 3, padding=1)
        self.conv_img = last if config.upscale == 1 else nn.Sequential(last, nn.PixelShuffle(config.upscale))

    def forward(self, features: Tensor) -> Tensor:
        """Decode (B, C, h, w) features to (B, 3, H, W) in [0, 1]; H = 8 h for the published structure."""
        x = self.fc(features)
        for number in range(self.middle):
            x = self.get_submodule(f"G_middle_{number}")(x, features)
        for number in range(self.doublings):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = self.get_submodule(f"up_{number}")(x, features)
        image: Tensor = self.conv_img(F.leaky_relu(x, LEAKY_SLOPE)).sigmoid()
        return image


class SpadeBlock(nn.Module):
    """A residual block: two convolutions, each after its SPADE normalisation and leaky ReLU."""

    def __init__(self, channels_in: int, channels_out: int, channels_condition: int, hidden: int) -> None:
        super().__init__()
        between = min(channels_in, channels_out)
        self.conv_0 = nn.Conv2d(channels_in, between, 3, padding=1)
        self.conv_1 = nn.Conv2d(between, channels_out, 3, padding=1)
        self.norm_0 = SpadeNorm(channels_in, channels_condition, hidden)
        self.norm_1 = SpadeNorm(between, channels_condition, hidden)
        self.widens = channels_in != channels_out
        if self.widens:
            self.conv_s = nn.Conv2d(channels_in, channels_out, 1, bias=False)
            self.norm_s = SpadeNorm(channels_in, channels_condition, hidden)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Compute the block: (B, in, H, W) and a condition (B, C, h, w) to (B, out, H, W)."""
        shortcut = self.conv_s(self.norm_s(x, condition)) if self.widens else x
        inner = self.conv_0(F.leaky_relu(self.norm_0(x, condition), LEAKY_SLOPE))
        inner = self.conv_1(F.leaky_relu(self.norm_1(inner, condition), LEAKY_SLOPE))
        mixed: Tensor = shortcut + inner
        return mixed


class SpadeNorm(nn.Module):
    """Spatially adaptive normalisation: instance norm with a per-pixel scale and shift from a condition."""

    def __init__(self, channels: int, channels_condition: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(channels_condition, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Normalise (B, C, H, W); the condition (B, c, h, w) is resized by nearest neighbour."""
        shared = self.mlp_shared(F.interpolate(condition, size=x.shape[2:], mode="nearest"))
        scaled: Tensor = F.instance_norm(x) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)
        return scaled
