"""Random thin-plate-spline transforms of the image plane, with closed-form derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.fomm.grids import identity_grid

AFFINE_SPREAD, BEND_SPREAD = 0.05, 0.005  # standard deviations, as in the published configs
CONTROL_SIDE = 5  # control points across and down


@dataclass(frozen=True, eq=False)
class ThinPlate:
    """A batch of transforms T(z) = A z + b + sum_i w_i U(|z - c_i|), U(r) = r^2 log r^2 (Bookstein 1989)."""

    affine: Tensor  # (B, 2, 3): A and b
    weights: Tensor  # (B, M, 2)
    centres: Tensor  # (M, 2) in [-1, 1]

    @staticmethod
    def random(count: int, generator: torch.Generator, device: torch.device) -> ThinPlate:
        """Sample transforms near the identity: small affine maps with a small bend."""
        straight = torch.eye(2, 3, device=device)
        affine = straight + AFFINE_SPREAD * torch.randn(count, 2, 3, generator=generator, device=device)
        bend = BEND_SPREAD * torch.randn(count, CONTROL_SIDE**2, 2, generator=generator, device=device)
        return ThinPlate(affine, bend, identity_grid(CONTROL_SIDE, CONTROL_SIDE, like=affine).reshape(-1, 2))

    def __call__(self, points: Tensor) -> Tensor:
        """Transform (B, N, 2) points in [-1, 1]."""
        away = points[:, :, None] - self.centres  # (B, N, M, 2)
        square = away.square().sum(dim=3)
        bent = (square * torch.log(square + 1e-6)) @ self.weights
        return points @ self.affine[:, :, :2].mT + self.affine[:, None, :, 2] + bent

    def jacobian(self, points: Tensor) -> Tensor:
        """Compute dT / dz at (B, N, 2) points: (B, N, 2, 2)."""
        away = points[:, :, None] - self.centres
        square = away.square().sum(dim=3)
        slope = 2 * (torch.log(square + 1e-6) + square / (square + 1e-6))  # dU / d(r^2), times 2
        bent = torch.einsum("bnmj,bnm,bmi->bnij", away, slope, self.weights)
        return self.affine[:, None, :, :2] + bent

    def warp(self, image: Tensor) -> Tensor:
        """Warp (B, C, H, W) images backwards: the result at z is the image at T(z)."""
        grid = identity_grid(image.shape[2], image.shape[3], like=image)
        looks = self(grid.reshape(1, -1, 2).expand(len(image), -1, -1)).reshape(len(image), *grid.shape)
        return F.grid_sample(image, looks, padding_mode="reflection", align_corners=True)
