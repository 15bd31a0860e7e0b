"""The warping module W: dense 3-D motion, and the warped feature volume as 2-D features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from avatar.liveportrait.blocks import Hourglass3d
from avatar.liveportrait.config import LivePortraitConfig

VARIANCE = 0.01  # variance of the heat maps' Gaussians, in squared grid units
LEAKY_SLOPE = 0.01  # negative slope of the leaky ReLU after the warp


@dataclass(frozen=True, eq=False)
class Warped:
    """Output of the warping module W for B frames."""

    features: Tensor  # (B, C, h, w), multiplied by the occlusion map
    deformation: Tensor  # (B, D, h, w, 3) positions in the source's volume, (x, y, z) in [-1, 1]
    occlusion_map: Tensor | None  # (B, 1, h, w) in [0, 1], 0 = hidden in the source; None: the model has none


class WarpingModule(nn.Module):
    """Guo et al. 2024: the warping module W."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        volume, channels = config.appearance, config.warping.channels_out
        self.dense_motion_network = DenseMotionNetwork(config)
        self.third = _LeakyBlock(volume.reshape_channel * volume.reshape_depth, channels)
        self.fourth = nn.Conv2d(channels, channels, 1)

    def forward(self, appearance: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Warped:
        """Warp the source's feature volume.

        Args:
            appearance: (1 or B, C, D, h, w).
            kp_source: (1 or B, K, 3).
            kp_driving: (B, K, 3).
        """
        appearance = appearance.expand(len(kp_driving), -1, -1, -1, -1)
        deformation, occlusion_map = self.dense_motion_network(appearance, kp_source, kp_driving)
        features = self.fourth(self.third(look_up(appearance, deformation).flatten(1, 2)))
        if occlusion_map is not None:
            features = features * occlusion_map
        return Warped(features, deformation, occlusion_map)


class _LeakyBlock(nn.Module):
    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block: (B, in, H, W) to (B, out, H, W)."""
        return F.leaky_relu(self.norm(self.conv(x)), LEAKY_SLOPE)


class DenseMotionNetwork(nn.Module):
    """The dense motion network: blends K + 1 sparse motions, background first, to one deformation."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        warping, volume = config.warping, config.appearance
        motions = config.motion.num_kp + 1
        self.hourglass = Hourglass3d(warping, motions * (warping.compress + 1))
        self.mask = nn.Conv3d(self.hourglass.channels_out, motions, 7, padding=3)
        self.compress = nn.Conv3d(volume.reshape_channel, warping.compress, 1)
        self.norm = nn.BatchNorm3d(warping.compress)
        self.occlusion: nn.Conv2d | None = None
        if warping.estimate_occlusion_map:
            self.occlusion = nn.Conv2d(self.hourglass.channels_out * volume.reshape_depth, 1, 7, padding=3)

    def forward(self, appearance: Tensor, kp_source: Tensor, kp_driving: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the deformation and the occlusion map of `Warped`.

        Args:
            appearance: (B, C, D, h, w).
            kp_source: (1 or B, K, 3).
            kp_driving: (B, K, 3).
        """
        features = F.relu(self.norm(self.compress(appearance)))
        batch, channels, depth, height, width = features.shape
        size = (depth, height, width)
        grid = volume_grid(depth, height, width, like=features)
        sparse = _sparse_motions(grid, kp_source, kp_driving)
        motions = sparse.shape[1]
        copies = features[:, None].expand(-1, motions, -1, -1, -1, -1).reshape(batch * motions, channels, *size)
        deformed = look_up(copies, sparse.flatten(0, 1)).view(batch, motions, channels, *size)
        seen = torch.cat([_heat_maps(grid, kp_source, kp_driving)[:, :, None], deformed], dim=2).flatten(1, 2)
        prediction = self.hourglass(seen)
        mask = self.mask(prediction).softmax(dim=1)
        deformation = torch.einsum("bkdhw,bkdhwx->bdhwx", mask, sparse)
        occlusion = None if self.occlusion is None else self.occlusion(prediction.flatten(1, 2)).sigmoid()
        return deformation, occlusion


def volume_grid(depth: int, height: int, width: int, like: Tensor) -> Tensor:
    """Return the (D, H, W, 3) positions (x, y, z) of the cells, from -1 to 1 over n - 1 steps."""
    z, y, x = (torch.linspace(-1, 1, count, dtype=like.dtype, device=like.device) for count in (depth, height, width))
    return torch.stack(torch.meshgrid(z, y, x, indexing="ij")[::-1], dim=-1)


def look_up(volume: Tensor, grid: Tensor) -> Tensor:
    """Sample a volume (B, C, D, H, W) at the positions (B, d, h, w, 3), trilinear, with 0 outside.

    Uses align_corners=False, although the grid spans cell centres, because the published weights were trained so.
    """
    return F.grid_sample(volume, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _sparse_motions(grid: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
    """Compute the backward warp of each keypoint's shift, the identity first for the background.

    Args:
        grid: (D, H, W, 3).
        kp_source: (1 or B, K, 3).
        kp_driving: (B, K, 3).
    Returns:
        (B, K + 1, D, H, W, 3).
    """
    shifts = (kp_source - kp_driving)[:, :, None, None, None]
    ahead = grid.expand(len(kp_driving), 1, *grid.shape)
    return torch.cat([ahead, grid + shifts], dim=1)


def _heat_maps(grid: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
    """Compute the difference of the heat maps of driver and source, with zeros for the background.

    Args:
        grid: (D, H, W, 3).
        kp_source: (1 or B, K, 3).
        kp_driving: (B, K, 3).
    Returns:
        (B, K + 1, D, H, W).
    """

    def gaussian(points: Tensor) -> Tensor:
        """Render (B, K, 3) points as (B, K, D, H, W)."""
        away = grid - points[:, :, None, None, None]
        return (-away.square().sum(dim=-1) / (2 * VARIANCE)).exp()

    difference = gaussian(kp_driving) - gaussian(kp_source)
    return torch.cat([torch.zeros_like(difference[:, :1]), difference], dim=1)
