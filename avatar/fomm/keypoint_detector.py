"""The keypoint detector: from an image to K keypoints with jacobians."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avatar.fomm.blocks import Hourglass, anti_aliased_down
from avatar.fomm.config import ModelConfig
from avatar.fomm.grids import identity_grid
from avatar.motion.keypoints import Keypoints

SCORE_KERNEL = 7


class KeypointDetector(nn.Module):
    """Siarohin et al. 2019, Sec. 3.1: T_{X<-R}(p_k) and its jacobian for each keypoint of a single image."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.down = anti_aliased_down(config.num_channels, config.detector.scale_factor)
        self.predictor = Hourglass(config.detector, config.num_channels)
        features, padding = self.predictor.channels_out, config.heatmap_padding
        self.kp = nn.Conv2d(features, config.num_kp, SCORE_KERNEL, padding=padding)
        self.jacobian: nn.Conv2d | None = None
        if config.estimate_jacobian:
            maps = 1 if config.single_jacobian_map else config.num_kp
            self.jacobian = nn.Conv2d(features, 4 * maps, SCORE_KERNEL, padding=padding)
        self.temperature = config.temperature

    def forward(self, image: Tensor) -> Keypoints:
        """Detect the keypoints of (B, C, H, W) images in [0, 1]."""
        features = self.predictor(image if self.down is None else self.down(image))
        heat = heat_maps(self.kp(features), self.temperature)
        jacobian = None if self.jacobian is None else mean_jacobians(self.jacobian(features), heat)
        return Keypoints(centres(heat), jacobian)


def heat_maps(logits: Tensor, temperature: float) -> Tensor:
    """Compute the spatial softmax of each map: (B, K, h, w) logits to (B, K, h, w) weights that sum to 1."""
    return torch.softmax(logits.flatten(2) / temperature, dim=2).view_as(logits)


def centres(heat: Tensor, grid: Tensor | None = None) -> Tensor:
    """Compute the mean position under each heat map: (B, K, h, w) to (B, K, 2), (x, y) in [-1, 1].

    `grid` is the (h, w, 2) `identity_grid` of their size, if it exists already.
    """
    grid = identity_grid(heat.shape[2], heat.shape[3], like=heat) if grid is None else grid
    return torch.einsum("bkhw,hwi->bki", heat, grid)


def mean_jacobians(maps: Tensor, heat: Tensor) -> Tensor:
    """Compute the mean jacobian under each heat map.

    Args:
        maps: (B, 4 K, h, w), row by row; or (B, 4, h, w), one map shared by all keypoints.
        heat: (B, K, h, w) of `heat_maps`.
    Returns:
        (B, K, 2, 2).
    """
    batch, count, height, width = heat.shape
    maps = maps.reshape(batch, -1, 4, height, width).expand(-1, count, -1, -1, -1)
    return torch.einsum("bkhw,bkjhw->bkj", heat, maps).reshape(batch, count, 2, 2)
