"""Structure of a LivePortrait model. The defaults are those of the published model."""

from __future__ import annotations

from dataclasses import dataclass

from avatar.system.limits import MAX_BLOCKS, MAX_CHANNELS


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, must be {low} to {high}")


@dataclass(frozen=True)
class AppearanceConfig:
    """Structure of the appearance feature extractor F."""

    block_expansion: int = 64  # channels at full size; doubled at every level
    max_features: int = 512
    num_down_blocks: int = 2
    num_resblocks: int = 6
    reshape_channel: int = 32  # channels of the feature volume
    reshape_depth: int = 16  # depth of the feature volume

    def __post_init__(self) -> None:
        _check("block_expansion", self.block_expansion, 1, MAX_CHANNELS)
        _check("max_features", self.max_features, self.block_expansion, MAX_CHANNELS)
        _check("num_down_blocks", self.num_down_blocks, 0, 8)
        _check("num_resblocks", self.num_resblocks, 0, MAX_BLOCKS)
        _check("reshape_channel", self.reshape_channel, 1, MAX_CHANNELS)
        _check("reshape_depth", self.reshape_depth, 1, 256)

    def channels(self, level: int) -> int:
        """Return the channels after `level` halvings of the image."""
        return min(self.max_features, self.block_expansion << level)


@dataclass(frozen=True)
class MotionConfig:
    """Structure of the motion extractor M, a ConvNeXt V2 (Woo et al. 2023) with a linear head for each quantity."""

    widths: tuple[int, ...] = (96, 192, 384, 768)  # channels of each stage
    depths: tuple[int, ...] = (3, 3, 9, 3)  # blocks of each stage
    num_kp: int = 21
    num_bins: int = 66  # bins per angle

    def __post_init__(self) -> None:
        if not 1 <= len(self.widths) == len(self.depths) <= 8:
            raise ValueError(f"{len(self.widths)} widths and {len(self.depths)} depths")
        for width, depth in zip(self.widths, self.depths, strict=True):
            _check("width", width, 1, MAX_CHANNELS)
            _check("depth", depth, 1, MAX_BLOCKS)
        _check("num_kp", self.num_kp, 1, 1000)
        _check("num_bins", self.num_bins, 1, 1000)


@dataclass(frozen=True)
class WarpingConfig:
    """Structure of the warping module W: dense motion, then the warped volume as 2-D features."""

    compress: int = 4  # channels of the compressed volume, the input of the dense motion network
    block_expansion: int = 32  # outermost channels of its hourglass
    max_features: int = 1024
    num_blocks: int = 5  # levels of its hourglass
    channels_out: int = 256  # channels of the 2-D features
    estimate_occlusion_map: bool = True

    def __post_init__(self) -> None:
        _check("compress", self.compress, 1, MAX_CHANNELS)
        _check("block_expansion", self.block_expansion, 1, MAX_CHANNELS)
        _check("max_features", self.max_features, self.block_expansion, MAX_CHANNELS)
        _check("num_blocks", self.num_blocks, 1, 10)
        _check("channels_out", self.channels_out, 1, MAX_CHANNELS)

    def channels(self, level: int) -> int:
        """Return the channels of a level of the hourglass: 0 is the output, `num_blocks` the innermost."""
        return min(self.max_features, self.block_expansion << level)


@dataclass(frozen=True)
class GeneratorConfig:
    """Structure of the SPADE generator G (Park et al. 2019)."""

    channels: int = 512  # channels of the blocks at the features' resolution
    up_channels: tuple[int, ...] = (256, 64)  # channels after each upsampling by 2
    hidden: int = 128  # channels between a condition and its gamma and beta
    num_middle_blocks: int = 6
    upscale: int = 2  # factor of the final pixel shuffle; 1: none

    def __post_init__(self) -> None:
        _check("channels", self.channels, 1, MAX_CHANNELS)
        _check("doublings", len(self.up_channels), 0, 6)
        for width in self.up_channels:
            _check("up_channels", width, 1, MAX_CHANNELS)
        _check("hidden", self.hidden, 1, MAX_CHANNELS)
        _check("num_middle_blocks", self.num_middle_blocks, 0, MAX_BLOCKS)
        _check("upscale", self.upscale, 1, 8)


@dataclass(frozen=True)
class LivePortraitConfig:
    """Everything needed to build the networks before their weights are known."""

    appearance: AppearanceConfig = AppearanceConfig()
    motion: MotionConfig = MotionConfig()
    warping: WarpingConfig = WarpingConfig()
    generator: GeneratorConfig = GeneratorConfig()
    stitching: tuple[int, ...] = (128, 128, 64)  # widths of the hidden layers of each small network
    eyes: tuple[int, ...] = (256, 256, 128, 128, 64)
    lips: tuple[int, ...] = (128, 128, 64)

    def __post_init__(self) -> None:
        for widths in (self.stitching, self.eyes, self.lips):
            for width in widths:
                _check("hidden width", width, 1, MAX_CHANNELS)
