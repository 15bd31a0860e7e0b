"""Structure of a First Order Motion Model, and the structures of the published ones by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from avatar.system.limits import MAX_BLOCKS, MAX_CHANNELS


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, must be {low} to {high}")


@dataclass(frozen=True)
class HourglassConfig:
    """Structure of an hourglass network and the scale of its input."""

    block_expansion: int  # channels of the outermost level; doubled at every level inwards
    max_features: int  # maximum number of channels
    num_blocks: int  # number of levels
    scale_factor: float  # side of its input over side of the image: 1, 1/2, 1/3 ...

    def __post_init__(self) -> None:
        _check("block_expansion", self.block_expansion, 1, MAX_CHANNELS)
        _check("max_features", self.max_features, self.block_expansion, MAX_CHANNELS)
        _check("num_blocks", self.num_blocks, 1, 10)
        _check("scale_factor", self.scale_factor, 1 / 64, 1.0)
        if abs(1 / self.scale_factor - round(1 / self.scale_factor)) > 1e-6:
            raise ValueError(f"scale_factor is {self.scale_factor}, must be one over a whole number")

    def channels(self, level: int) -> int:
        """Return the channels of a level: 0 is the output, `num_blocks` the innermost."""
        return min(self.max_features, self.block_expansion << level)


@dataclass(frozen=True)
class ModelConfig:
    """Everything needed to build the networks before their weights are known."""

    detector: HourglassConfig
    motion: HourglassConfig
    block_expansion: int = 64  # channels of the generator at full size
    max_features: int = 512
    num_down_blocks: int = 2
    num_bottleneck_blocks: int = 6
    num_kp: int = 10
    num_channels: int = 3
    estimate_jacobian: bool = True
    single_jacobian_map: bool = False  # one jacobian map, averaged under the heat map of each keypoint
    estimate_occlusion_map: bool = True
    temperature: float = 0.1  # temperature of the heat maps' softmax
    heatmap_padding: int = 0  # padding of the 7x7 convolutions before it; 0: heat maps are 6 cells smaller

    def __post_init__(self) -> None:
        _check("num_kp", self.num_kp, 1, 1000)
        _check("num_channels", self.num_channels, 1, 64)
        _check("block_expansion", self.block_expansion, 1, MAX_CHANNELS)
        _check("max_features", self.max_features, self.block_expansion, MAX_CHANNELS)
        _check("num_down_blocks", self.num_down_blocks, 0, 8)
        _check("num_bottleneck_blocks", self.num_bottleneck_blocks, 0, MAX_BLOCKS)
        _check("temperature", self.temperature, 1e-4, 1e4)
        _check("pad", self.heatmap_padding, 0, 3)

    @property
    def frame_size(self) -> int:
        """Side of the image that the networks were made for, pixels: the hourglasses' input has 64."""
        return round(64 / self.motion.scale_factor)

    @property
    def side_step(self) -> int:
        """Number of pixels that the sides of an image must be multiples of, so that every level halves evenly."""
        nets = (self.detector, self.motion)
        return max(1 << self.num_down_blocks, *(round((1 << net.num_blocks) / net.scale_factor) for net in nets))

    def channels(self, level: int) -> int:
        """Return the channels of the generator after `level` halvings of the image."""
        return min(self.max_features, self.block_expansion << level)


VOX = ModelConfig(HourglassConfig(32, 1024, 5, 0.25), HourglassConfig(64, 1024, 5, 0.25))
PUBLISHED = {
    **dict.fromkeys(("vox", "vox-adv", "taichi", "taichi-adv", "nemo", "bair", "fashion"), VOX),
    "mgif": replace(VOX, single_jacobian_map=True),
}
