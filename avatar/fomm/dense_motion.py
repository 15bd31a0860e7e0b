"""The dense motion network: from keypoints to a backward warp of the source and an occlusion map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avatar.fomm.blocks import Hourglass, anti_aliased_down
from avatar.fomm.config import ModelConfig
from avatar.fomm.grids import identity_grid, look_up
from avatar.motion.keypoints import Keypoints, inverse

HEAT_VARIANCE = 0.01  # variance of a keypoint's Gaussian (sigma of Eq. 6), in squared half image sides
MASK_KERNEL = 7


@dataclass(frozen=True, eq=False)
class DenseMotion:
    """Output of `DenseMotionNetwork`, at its own resolution (64 x 64 in the published models)."""

    deformation: Tensor  # (B, h, w, 2) positions in the source, (x, y) in [-1, 1], align_corners=True
    mask: Tensor  # (B, K + 1, h, w) weight of each local motion, background first; sums to 1
    occlusion_map: Tensor | None  # (B, 1, h, w) in [0, 1], 0 = hidden in the source


class DenseMotionNetwork(nn.Module):
    """Siarohin et al. 2019, Sec. 3.2: blends K local motions and a still background."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        motions = config.num_kp + 1
        self.down = anti_aliased_down(config.num_channels, config.motion.scale_factor)
        self.hourglass = Hourglass(config.motion, motions * (1 + config.num_channels))
        features = self.hourglass.channels_out
        self.mask = nn.Conv2d(features, motions, MASK_KERNEL, padding=MASK_KERNEL // 2)
        self.occlusion: nn.Conv2d | None = None
        if config.estimate_occlusion_map:
            self.occlusion = nn.Conv2d(features, 1, MASK_KERNEL, padding=MASK_KERNEL // 2)

    def forward(self, source: Tensor, kp_source: Keypoints, kp_norm: Keypoints) -> DenseMotion:
        """Compute the motion.

        Args:
            source: (B, C, H, W) in [0, 1].
            kp_source: keypoints of `source`; B = 1 is broadcast to all driving frames.
            kp_norm: keypoints of B driving frames, transferred to the source.
        """
        return self.of_small(source if self.down is None else self.down(source), kp_source, kp_norm)

    def of_small(self, small: Tensor, kp_source: Keypoints, kp_norm: Keypoints) -> DenseMotion:
        """Compute `forward` for a source (B, C, h, w) at the network's own resolution."""
        grid = identity_grid(small.shape[2], small.shape[3], like=small)
        motions = sparse_motion(kp_source, kp_norm, grid)  # (B, K + 1, h, w, 2)
        heat = heat_difference(kp_source, kp_norm, grid)  # (B, K + 1, h, w)
        seen = deformed_sources(small, motions)  # (B, K + 1, C, h, w)
        features = self.hourglass(torch.cat([heat[:, :, None], seen], dim=2).flatten(1, 2))
        mask = torch.softmax(self.mask(features), dim=1)
        occlusion = None if self.occlusion is None else torch.sigmoid(self.occlusion(features))
        return DenseMotion(blend(motions, mask), mask, occlusion)


def heat_difference(kp_source: Keypoints, kp_norm: Keypoints, grid: Tensor) -> Tensor:
    """Compute the difference of the heat maps of driving frame and source: Eq. 6, with 0 for the background.

    Args:
        kp_source: value (1 or B, K, 2).
        kp_norm: value (B, K, 2).
        grid: (h, w, 2) of `identity_grid`.
    Returns:
        (B, K + 1, h, w) in [-1, 1].
    """
    difference = gaussians(kp_norm.value, grid) - gaussians(kp_source.value, grid)
    return torch.cat([torch.zeros_like(difference[:, :1]), difference], dim=1)


def sparse_motion(kp_source: Keypoints, kp_norm: Keypoints, grid: Tensor) -> Tensor:
    """Compute the backward warp of each local motion: Eq. 4, p_s + J_s J_d^-1 (z - p_d).

    Args:
        kp_source: value (1 or B, K, 2), jacobian (1 or B, K, 2, 2) or None.
        kp_norm: the same for B driving frames.
        grid: (h, w, 2) of `identity_grid`.
    Returns:
        (B, K + 1, h, w, 2) positions in the convention of `grid`; the first, the background, is the identity.
    """
    offset = grid - kp_norm.value[:, :, None, None]  # (B, K, h, w, 2)
    if kp_source.jacobian is not None and kp_norm.jacobian is not None:
        to_source = kp_source.jacobian @ inverse(kp_norm.jacobian)  # (B, K, 2, 2), Eq. 5
        offset = torch.einsum("bkij,bkhwj->bkhwi", to_source, offset)
    local = kp_source.value[:, :, None, None] + offset
    return torch.cat([grid.expand(len(local), 1, -1, -1, -1), local], dim=1)


def deformed_sources(small: Tensor, motions: Tensor) -> Tensor:
    """Warp the source by each local motion separately.

    Args:
        small: (1 or B, C, h, w).
        motions: (B, K + 1, h, w, 2) of `sparse_motion`.
    Returns:
        (B, K + 1, C, h, w)
    """
    batch, count = motions.shape[:2]
    copies = small.expand(batch, -1, -1, -1).repeat_interleave(count, dim=0)
    return look_up(copies, motions.flatten(0, 1)).reshape(batch, count, *small.shape[1:])


def blend(motions: Tensor, mask: Tensor) -> Tensor:
    """Average local motions (B, K + 1, h, w, 2) weighted by `mask` (B, K + 1, h, w): Eq. 7; (B, h, w, 2)."""
    return torch.einsum("bkhwi,bkhw->bhwi", motions, mask)


def gaussians(value: Tensor, grid: Tensor) -> Tensor:
    """Render (B, K, 2) points as (B, K, h, w) Gaussians of height 1, separably; `grid`: (h, w, 2)."""
    across = torch.exp(-0.5 / HEAT_VARIANCE * (grid[0, :, 0] - value[..., :1]).square())  # (B, K, w)
    down = torch.exp(-0.5 / HEAT_VARIANCE * (grid[:, 0, 1] - value[..., 1:]).square())  # (B, K, h)
    return down[..., None] * across[..., None, :]
